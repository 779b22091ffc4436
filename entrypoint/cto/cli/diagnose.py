"""`cto diagnose`."""

from __future__ import annotations

from pathlib import Path

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.errors import UsageError
from cto.result import Result


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--live", is_flag=True, help="Look at the cluster and this machine themselves.")
@cluster_options
@output_options()
@click.pass_obj
def diagnose(
    terminal: Terminal, *, options: ClusterOptions, file: Path | None, live: bool
) -> Result:
    """Name the likely causes of what is broken, the most likely first.

    FILE is what `cto support-bundle` wrote; nothing else is looked at. Ends with 9 if anything is
    found.
    """
    from cto.cli.verbs.support import diagnose_file, diagnose_live  # noqa: PLC0415 - pydantic is slow to import

    if live == (file is not None):
        text = "name either the FILE of a support bundle, or --live"
        hint = "`cto diagnose FILE`, or `cto diagnose --live` to look at the cluster itself."
        raise UsageError("CTO-1200", text, hint=hint)
    if file is not None:
        return diagnose_file(file)
    return diagnose_live(terminal.wiring(options), terminal.wiring(options), terminal)
