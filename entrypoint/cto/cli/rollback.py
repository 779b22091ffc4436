"""`cto rollback`."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options, to_option
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@to_option
@cluster_options
@output_options()
@click.pass_obj
def rollback(terminal: Terminal, *, options: ClusterOptions, to: int | None) -> Result:
    """Bring the platform back to what it was before the last run, or before those after N.

    Releases go back to the revisions that Helm keeps, the platform's own objects to what they were.
    Definitions of custom resources, volumes and Secrets stay as they are. Shows the plan and asks
    first.
    """
    from cto.cli.verbs.rollback import run  # noqa: PLC0415 - pydantic is slow to import

    return run(terminal.wiring(options), terminal, to)
