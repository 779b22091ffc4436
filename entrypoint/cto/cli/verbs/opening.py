"""Opens the cluster that a verb works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cto.cli.output import Terminal
from cto.cli.wiring import Wiring
from cto.engine.installer import Installer
from cto.ports import Provider


def frame(provider: Provider, terminal: Terminal) -> None:
    """Say from the start that nodes are simulated, where nobody has to be asked for that."""
    terminal.simulated = provider.creates and provider.simulated


@contextmanager
def opened(
    wiring: Wiring, provider: Provider, terminal: Terminal, *, configured: bool = True
) -> Iterator[Installer]:
    """Open a screen, and below it the cluster with everything that a verb needs of it."""
    access = provider.access()
    with terminal.screen(wiring.clock) as screen:
        wiring.notice = screen.notice
        with wiring.installer(provider, access, screen, configured=configured) as installer:
            # Not before it has answered: a silent server would be asked a second time, in vain.
            terminal.simulated = provider.simulated
            yield installer
