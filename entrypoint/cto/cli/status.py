"""`cto status`."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@cluster_options
@click.option("--watch", is_flag=True, help="Show it again whenever it changed, until Ctrl-C.")
@click.option(
    "--show-config", is_flag=True, help="Show the configuration that it was installed with."
)
@click.option(
    "--drift",
    is_flag=True,
    help="Show what is not as it was installed, field by field; ends with 11 if anything is.",
)
@click.option("--repair", is_flag=True, help="Put back what --drift shows, and nothing else.")
@output_options()
@click.pass_obj
def status(
    terminal: Terminal,
    *,
    options: ClusterOptions,
    watch: bool,
    show_config: bool,
    drift: bool,
    repair: bool,
) -> Result:
    """Show what is installed and whether it is healthy. Needs no configuration."""
    if drift or repair:
        from cto.cli.verbs import drift as verb  # noqa: PLC0415 - pydantic is slow to import

        return verb.run(terminal.wiring(options), terminal, repair=repair)
    from cto.cli.verbs.status import configuration, run  # noqa: PLC0415 - pydantic is slow to import

    if show_config:
        return configuration(terminal.wiring(options), terminal)
    return run(terminal.wiring(options), terminal, watch=watch)
