"""`cto support-bundle`."""

from __future__ import annotations

from pathlib import Path

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.command("support-bundle")
@cluster_options
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File to write, or its folder; cto-support-CONTEXT-TIME.tar.gz here if not given.",
)
@output_options(letter=False)
@click.pass_obj
def support_bundle(terminal: Terminal, *, options: ClusterOptions, out: Path | None) -> Result:
    """Write what helps to find a fault into a file, without secrets.

    It changes nothing, fetches nothing, takes a minute at most, and is made also where neither the
    cluster nor Docker answers.
    """
    from cto.cli.verbs.support import bundle  # noqa: PLC0415 - pydantic is slow to import

    return bundle(terminal.wiring(options), terminal.wiring(options), terminal, out)
