"""`cto history`."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@cluster_options
@output_options()
@click.pass_obj
def history(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Show what runs did to the platform: who, when, from where, what, and how they ended."""
    from cto.cli.verbs.rollback import history as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb(terminal.wiring(options), terminal)
