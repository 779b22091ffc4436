"""`cto backup`: make backups of the platform, and list them."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.group()
def backup() -> None:
    """Make backups besides those of the schedule, and list all of them."""


@backup.command()
@cluster_options
@output_options()
@click.pass_obj
def run(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Make a backup of what the schedule backs up, and wait for its end.

    The exit code is 9 if it did not succeed.
    """
    from cto.cli.verbs import backups  # noqa: PLC0415 - pydantic is slow to import

    return backups.run(terminal.wiring(options), terminal)


@backup.command("list")
@cluster_options
@output_options()
@click.pass_obj
def list_(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Show all backups, and how they ended."""
    from cto.cli.verbs import backups  # noqa: PLC0415 - as above

    return backups.listed(terminal.wiring(options), terminal)
