"""`cto install`."""

from __future__ import annotations

import click

from cto.cli.options import (
    cluster_options,
    components_option,
    downgrade_option,
    github_option,
    output_options,
    skip_option,
)
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command()
@skip_option
@downgrade_option
@components_option
@github_option
@cluster_options
@output_options()
@click.pass_obj
def install(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Install the platform, or finish or repair an installation.

    Run it as often as you like: what is there and unchanged is left alone, what is missing or
    half-done is mended. The last step is that of `cto github setup`, where somebody can click or
    nobody has to.
    """
    from cto.cli.verbs.install import run  # noqa: PLC0415 - pydantic is slow to import

    return run(terminal.wiring(options), terminal)
