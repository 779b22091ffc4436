"""Makes, lists and restores backups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cto.cli.describe import table
from cto.cli.output import Terminal
from cto.cli.verbs.opening import opened_existing
from cto.cli.wiring import Wiring
from cto.engine.backups import NAMESPACE, Operation, VeleroBackups
from cto.errors import Exit
from cto.result import Result

_COLUMNS = ("name", "phase", "created", "expires", "message")


def run(wiring: Wiring, terminal: Terminal) -> Result:
    """Make a backup, and wait for its end."""
    return _done(wiring, terminal, "backup run", VeleroBackups.run)


def restore(wiring: Wiring, terminal: Terminal, name: str) -> Result:
    """Restore a backup, and wait for the end of that."""
    return _done(wiring, terminal, "restore", lambda backups: backups.restore(name))


def listed(wiring: Wiring, terminal: Terminal) -> Result:
    """Return all backups."""
    with _opened(wiring, terminal) as backups:
        found = [one.to_json() for one in backups.all()]
    rows = [[one[column] for column in _COLUMNS] for one in found]
    return Result(
        command="backup list",
        data={"backups": found},
        text="\n".join(table([_COLUMNS, *rows])) if rows else "There are no backups.",
        simulated=terminal.simulated,
    )


def _done(
    wiring: Wiring, terminal: Terminal, command: str, begin: Callable[[VeleroBackups], Operation]
) -> Result:
    with _opened(wiring, terminal) as backups:
        made = begin(backups)
        wiring.notice(f"{made.ref} is made")
        if terminal.simulated:
            wiring.notice("nodes are simulated: no Velero runs, and nobody works on it")
        else:
            for now in backups.follow(made):
                if now.phase != made.phase:
                    wiring.notice(_told(now))
                made = now
    failed = made.has_ended and not made.succeeded
    log = f"kubectl --namespace {NAMESPACE} logs deployment/velero | grep {made.name}"
    return Result(
        command=command,
        data={"operation": made.to_json()},
        text=f"{_told(made)}\nwhat went wrong: {log}" if failed else _told(made),
        exit_code=Exit.DEGRADED if failed else Exit.OK,
        simulated=terminal.simulated,
    )


@contextmanager
def _opened(wiring: Wiring, terminal: Terminal) -> Iterator[VeleroBackups]:
    with opened_existing(wiring, terminal) as installer:
        yield VeleroBackups(installer.cluster, installer.clock)


def _told(operation: Operation) -> str:
    told = f"{operation.name}: {operation.phase}"
    return f"{told}, {operation.message}" if operation.message else told
