"""`cto access`: where the user interfaces are, and how to log in."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@click.argument("component", required=False)
@click.option(
    "--show-password", is_flag=True, help="Print the password of COMPONENT, on a terminal only."
)
@click.option(
    "--ca", is_flag=True, help="Print the certificate of the platform's own authority, as PEM."
)
@cluster_options
@output_options()
@click.pass_obj
def access(
    terminal: Terminal,
    *,
    options: ClusterOptions,
    component: str | None,
    show_password: bool,
    ca: bool,
) -> Result:
    """Show how to reach what is installed, or one COMPONENT of it, and whether it answers."""
    from cto.cli.verbs import access as verb  # noqa: PLC0415 - pydantic is slow to import

    if show_password and component is None:
        text = "--show-password needs a COMPONENT: one password at a time."
        raise click.UsageError(text)
    if ca and (component or show_password):
        text = "--ca goes with no COMPONENT and no --show-password: all have one authority."
        raise click.UsageError(text)
    if ca:
        return verb.authority(terminal.wiring(options), terminal)
    return verb.run(terminal.wiring(options), terminal, component, show_password=show_password)
