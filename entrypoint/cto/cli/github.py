"""`cto github`: the agents' GitHub Apps."""

from __future__ import annotations

from pathlib import Path

import click

from cto.cli.options import cluster_options, output_options
from cto.cli.output import Terminal
from cto.cli.root import Group
from cto.cli.settings import ClusterOptions
from cto.result import Result


@click.group(cls=Group)
def github() -> None:
    """Set up the agents' GitHub Apps, and see how they are."""


@github.command()
@click.option(
    "--again",
    metavar="AGENT",
    multiple=True,
    help="Make another App for an agent whose key is lost; may be repeated.",
)
@click.option(
    "--port",
    metavar="N",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the page on this machine; any free one if not given. A container has to publish "
    "it: `docker run -p 127.0.0.1:N:N`.",
)
@click.option(
    "--page",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page to a file instead, for a browser elsewhere, and ask for the addresses "
    "that it ends at.",
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.IntRange(0),
    default=900,
    show_default=True,
    help="How long to wait for the next click.",
)
@cluster_options
@output_options()
@click.pass_obj
def setup(
    terminal: Terminal,
    *,
    options: ClusterOptions,
    again: tuple[str, ...],
    port: int,
    page: Path | None,
    wait: int,
) -> Result:
    """Make an App for each agent, by one click each, and see it installed.

    Apps of the configuration (`github.apps`) are taken as they are. Interrupted and called again,
    it goes on with the first App that is missing. The exit code is 9 if one is not ready then.
    """
    from cto.cli.verbs import github as verb  # noqa: PLC0415 - as above
    from cto.cli.verbs.clicks import Clicks  # noqa: PLC0415 - pydantic is slow to import

    clicks = Clicks(again=again, port=port, page=page, wait_s=wait)
    return verb.setup(terminal.wiring(options), terminal, clicks)


@github.command()
@cluster_options
@output_options()
@click.pass_obj
def status(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Ask GitHub how each App is: its key, its installation, what it may do, its last webhook.

    The exit code is 9 if one is not ready.
    """
    from cto.cli.verbs import github as verb  # noqa: PLC0415 - as above

    return verb.status(terminal.wiring(options), terminal)


@github.command()
@click.argument("deliveries", metavar="[ID]...", type=int, nargs=-1)
@cluster_options
@output_options()
@click.pass_obj
def redeliver(
    terminal: Terminal, *, options: ClusterOptions, deliveries: tuple[int, ...]
) -> Result:
    """Have GitHub send the webhooks again that failed, or those with these ids.

    Those of the agents' Apps, or of the one webhook for all. If an id is unknown, none is sent.

    GitHub keeps them for three days.
    """
    from cto.cli.verbs import github as verb  # noqa: PLC0415 - as above

    return verb.redeliver(terminal.wiring(options), terminal, deliveries)


@github.command()
@click.argument("agents", metavar="[AGENT]...", nargs=-1)
@click.option(
    "--key",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take another private key of this one agent's App, which its page at GitHub generated.",
)
@cluster_options
@output_options()
@click.pass_obj
def rotate(
    terminal: Terminal, *, options: ClusterOptions, agents: tuple[str, ...], key: Path | None
) -> Result:
    """Give webhooks new secrets: those of the agents' Apps, or of these, or the one for all.

    The receiver starts anew. What GitHub sent meanwhile and was refused, it sends again. Killed and
    called again, it goes on where it was.
    """
    from cto.cli.verbs import rotate as verb  # noqa: PLC0415 - as above

    if key:
        return verb.take_key(terminal.wiring(options), terminal, agents, key)
    return verb.run(terminal.wiring(options), terminal, agents)


@github.command()
@click.option("--once", is_flag=True, help="End once everything is handed over.")
@cluster_options
@output_options()
@click.pass_obj
def forward(terminal: Terminal, *, options: ClusterOptions, once: bool) -> Result:
    """Fetch what GitHub could not deliver, and hand it to the platform, until Ctrl+C.

    For a cluster that nothing can reach. GitHub keeps for three days what it sent to an App's
    webhook, which needs an address that looks public. `tunneling.forward: true` does the same in
    the cluster.
    """
    from cto.cli.verbs import forwarding as verb  # noqa: PLC0415 - as above

    return verb.forward(terminal.wiring(options), terminal, once=once)


@github.command()
@cluster_options
@output_options()
@click.pass_obj
def remove(terminal: Terminal, *, options: ClusterOptions) -> Result:
    """Take away the installations of the agents' Apps, and their keys.

    The Apps themselves only a person can delete: it names the pages.
    """
    from cto.cli.verbs import github as verb  # noqa: PLC0415 - as above

    return verb.remove(terminal.wiring(options), terminal)
