"""Opens the cluster that a verb works on, and ends a run that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cto.cli.describe import counted
from cto.cli.output import Terminal
from cto.cli.wiring import Wiring
from cto.engine.installer import Installer
from cto.engine.report import Report
from cto.errors import CtoError, DegradedError
from cto.plan.observed import State
from cto.ports import Provider

if TYPE_CHECKING:
    from cto.network.web import Session


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


@contextmanager
def opened_existing(wiring: Wiring, terminal: Terminal) -> Iterator[Installer]:
    """Open the cluster that is there, for what needs no configuration."""
    provider = wiring.clusters.there()
    frame(provider, terminal)
    with opened(wiring, provider, terminal, configured=False) as installer:
        yield installer


def installed_state(installer: Installer) -> State:
    """Return what is installed.

    Raises:
        DegradedError: CTO-1901, nothing is.
    """
    state = installer.store.load()
    if state is None:
        raise not_installed(installer)
    return state


def not_installed(installer: Installer) -> DegradedError:
    """Return the error of a cluster without the platform: one may be on its way."""
    other = installer.at_work()
    told = f"Another run works on it: {other}" if other else ""
    text = f"the platform is not installed on {installer.context}"
    return DegradedError("CTO-1901", text, details=told)


def web_session(wiring: Wiring) -> Session:
    """Return a session for what is asked outside, with the user's proxies and authorities.

    Who takes it closes it.
    """
    from cto.network import trust, web  # noqa: PLC0415 - slow to import, and mostly of no use

    env = wiring.settings.env
    return web.session(
        env,
        verified=trust.context(env, ca_file=wiring.options.ca_file),
        log=lambda text: wiring.debug(wiring.secrets.redacted(text)),
    )


def raise_errors(report: Report) -> None:
    """Raise the first failure of a run, naming all others.

    Raises:
        CtoError: What the step raised.
    """
    failed = [run for run in report.runs if run.error is not None]
    if not failed:
        return
    error = failed[0].error
    assert error is not None  # noqa: S101 - chosen so; for the type checker
    notes = [f"also failed: {run.title}: {run.message}" for run in failed[1:]]
    if report.not_run:
        notes.append(f"not begun because of that: {counted(len(report.not_run), 'step')}")
    notes.append(
        "What worked stays as it is. Once that is mended, the same command goes on from here."
    )
    raise _with_notes(error, notes)


def raise_first(failed: Mapping[str, CtoError], notes: Sequence[str] = ()) -> None:
    """Raise what failed first of several that were tried, naming the others.

    Args:
        failed: What it was about -> how it failed.
        notes: What else is to be told.

    Raises:
        CtoError: What failed.
    """
    for name, error in failed.items():
        others = [f"also failed: {other}: {one.message}" for other, one in failed.items()][1:]
        raise _with_notes(error, [f"of {name}", *others, *notes])


def _with_notes(error: CtoError, notes: list[str]) -> CtoError:
    return error.told(details="\n".join([*([error.details] if error.details else []), *notes]))
