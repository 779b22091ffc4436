"""`cto notify`: see that the platform's mails arrive."""

from __future__ import annotations

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.group()
def notify() -> None:
    """See that the platform's mails arrive."""


@notify.command()
@cluster_options
@output_options()
@click.pass_obj
def test(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Send a mail as each program does.

    It has the program's settings, and leaves from beside it. The exit code is 9 if one could not be
    sent.
    """
    from cto.cli.verbs import notify as verb  # noqa: PLC0415 - pydantic is slow to import

    return verb.test(terminal.wiring(options), terminal)
