"""Starts, shows, follows and cancels tasks of agents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from cto.cli.describe import table
from cto.cli.output import Terminal
from cto.cli.verbs.opening import opened_existing
from cto.cli.wiring import Wiring
from cto.config.sections import NAMESPACE
from cto.engine.installer import Installer
from cto.engine.tasks import RunPhase, Task, Tasks, TaskSpec
from cto.errors import Exit
from cto.ports import Clock
from cto.result import Result

# So long, and a controller that works has said something about a task.
_SILENCE_S = 10.0
_COLUMNS = ("name", "agent", "phase", "attempts", "age", "message")


def run(wiring: Wiring, terminal: Terminal, wish: TaskSpec, *, watch: bool) -> Result:
    """Start a task, and wait for its end if that is wanted."""
    with _opened(wiring, terminal) as (installer, tasks):
        made = tasks.start(wish)
        wiring.notice(f"task {made.name} is made")
        if terminal.simulated:
            wiring.notice("nodes are simulated: no controller runs, and nobody works on it")
        elif watch:
            made = _watched(tasks.follow(made), installer.clock, wiring.notice)
    how = f"{made.name}\nsee how it goes: cto task list; cto task logs {made.name}"
    failed = made.has_ended and made.phase != RunPhase.SUCCEEDED
    return Result(
        command="task run",
        data={"task": made.to_json()},
        text=_outcome(made) if made.has_ended else how,
        exit_code=Exit.DEGRADED if failed else Exit.OK,
        simulated=terminal.simulated,
    )


def listed(wiring: Wiring, terminal: Terminal) -> Result:
    """Return all tasks."""
    with _opened(wiring, terminal) as (installer, tasks):
        found = tasks.all()
        now = installer.cluster.now()
    nothing = "There are no tasks. Start one: cto task run."
    rows = [_row(task, (now - task.created).total_seconds()) for task in found]
    return Result(
        command="task list",
        data={"tasks": [task.to_json() for task in found]},
        text="\n".join(table([_COLUMNS, *rows])) if rows else nothing,
        simulated=terminal.simulated,
    )


def logs(wiring: Wiring, terminal: Terminal, name: str, lines: int) -> Result:
    """Return the log of a task."""
    with _opened(wiring, terminal) as (_, tasks):
        task = tasks.find(name)
        text = tasks.logs(task, lines)
    return Result(
        command="task logs",
        data={"task": task.to_json(), "log": text},
        text=text.rstrip("\n") or f"{_told(task)}: there is no log yet",
        simulated=terminal.simulated,
    )


def cancel(wiring: Wiring, terminal: Terminal, name: str) -> Result:
    """Cancel a task."""
    with _opened(wiring, terminal) as (_, tasks):
        task = tasks.cancel(name)
    return Result(
        command="task cancel",
        data={"task": task.to_json()},
        text=f"{task.name} is cancelled",
        simulated=terminal.simulated,
    )


@contextmanager
def _opened(wiring: Wiring, terminal: Terminal) -> Iterator[tuple[Installer, Tasks]]:
    with opened_existing(wiring, terminal) as installer:
        yield installer, Tasks(installer.cluster, installer.clock, NAMESPACE)


def _watched(tasks: Iterable[Task], clock: Clock, notice: Callable[[str], None]) -> Task:
    """Tell of every change until the end; say so if nobody seems to work on it."""
    begun, told, silent = clock.monotonic(), "", False
    for task in tasks:
        if task.is_seen and _told(task) != told:
            told = _told(task)
            notice(told)
        if not (task.is_seen or silent) and clock.monotonic() - begun > _SILENCE_S:
            silent = True
            notice("the controller has not taken it yet; `cto status` tells whether it works")
    return task


def _told(task: Task) -> str:
    phase = f"{task.name}: {task.phase.lower()}"
    return f"{phase}, {task.message}" if task.message else phase


def _outcome(task: Task) -> str:
    pull_request = str(task.status.get("pullRequestUrl") or "")
    return "\n".join(filter(None, [_told(task), pull_request]))


def _row(task: Task, age_s: float) -> Sequence[str]:
    attempts = str(task.attempts)
    return (task.name, task.app, task.phase, attempts, _spelled(age_s), task.message)


def _spelled(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"
