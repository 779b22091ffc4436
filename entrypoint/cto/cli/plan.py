"""`cto plan`: what install, upgrade, rollback or uninstall would do, and why. Changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cto.cli.options import (
    cluster_options,
    components_option,
    downgrade_option,
    output_options,
    removal_options,
    skip_option,
    to_option,
    upgrade_options,
)
from cto.cli.output import MERMAID, Terminal
from cto.cli.root import Group
from cto.cli.settings import ClusterOptions
from cto.result import Result

if TYPE_CHECKING:
    from cto.plan.remove import Options


@click.group(cls=Group)
def plan() -> None:
    """Show what install, upgrade, rollback or uninstall would do, and why."""


@plan.command()
@skip_option
@downgrade_option
@components_option
@cluster_options
@output_options(MERMAID)
@click.pass_obj
def install(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Show what `cto install` would do: every step, its reason, and what it touches."""
    from cto.cli.verbs import plan as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb.install(terminal.wiring(options), terminal)


@plan.command()
@upgrade_options
@click.option(
    "--check", is_flag=True, help="End with 11 if there is anything to do, with 0 if not."
)
@output_options()
@click.pass_obj
def upgrade(
    terminal: Terminal, *, options: ClusterOptions, only: tuple[str, ...], check: bool
) -> Result:
    """Show what `cto upgrade` would do: from what to what, object by object."""
    from cto.cli.verbs import upgrade as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb.plan(terminal.wiring(options), terminal, only, check=check)


@plan.command()
@to_option
@cluster_options
@output_options(MERMAID)
@click.pass_obj
def rollback(terminal: Terminal, *, options: ClusterOptions, to: int | None) -> Result:
    """Show what `cto rollback` would bring back."""
    from cto.cli.verbs import rollback as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb.plan(terminal.wiring(options), terminal, to)


@plan.command()
@cluster_options
@removal_options
@output_options(MERMAID)
@click.pass_obj
def uninstall(terminal: Terminal, *, options: ClusterOptions, removal: Options) -> Result:
    """Show what `cto uninstall` would take away, and what stays."""
    from cto.cli.verbs import plan as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb.uninstall(terminal.wiring(options), terminal, removal)
