"""`cto uninstall`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cto.cli.options import cluster_options, output_options, removal_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result

if TYPE_CHECKING:
    from cto.plan.remove import Options


@click.command()
@cluster_options
@removal_options
@click.option("--cluster", is_flag=True, help="Delete the cluster that cto made, with all in it.")
@output_options()
@click.pass_obj
def uninstall(
    terminal: Terminal, *, options: ClusterOptions, removal: Options, cluster: bool
) -> Result:
    """Remove the platform. Volumes, generated secrets and your own objects stay.

    `cto plan uninstall` shows what would go and what would stay.
    """
    from cto.cli.verbs.uninstall import destroy, run  # noqa: PLC0415 - pydantic is slow to import

    wiring = terminal.wiring(options)
    return destroy(wiring, terminal, removal) if cluster else run(wiring, terminal, removal)
