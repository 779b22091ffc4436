"""`cto upgrade`."""

from __future__ import annotations

import click

from cto.cli.options import output_options, upgrade_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@upgrade_options
@output_options()
@click.pass_obj
def upgrade(terminal: Terminal, *, options: ClusterOptions, only: tuple[str, ...]) -> Result:
    """Bring what is installed to this version: its charts, images and settings.

    What was given to the installation counts again, from the cluster: no configuration file is
    needed, and no secret. One that is given wins. Components follow those that they need, each
    once these are ready; one that fails is brought back to what it was. Shows the plan and asks
    first.
    """
    from cto.cli.verbs.upgrade import run  # noqa: PLC0415 - pydantic is slow to import

    return run(terminal.wiring(options), terminal, only)
