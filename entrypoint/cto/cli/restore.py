"""`cto restore`: bring back what a backup has."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@click.argument("name")
@cluster_options
@output_options()
@click.pass_obj
def restore(terminal: Terminal, *, options: ClusterOptions, name: str) -> Result:
    """Bring back what the backup NAME has, over what is there, and wait for its end.

    Secrets, settings, custom resources and claims: what `cto install` makes anew stays as it is,
    and no run begins again. The exit code is 9 if it did not succeed.
    """
    from cto.cli.verbs import backups  # noqa: PLC0415 - pydantic is slow to import

    return backups.restore(terminal.wiring(options), terminal, name)
