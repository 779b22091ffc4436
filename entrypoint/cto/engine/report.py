"""What a run did, and where its time went."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from cto.errors import CtoError
from cto.events import Listener, Outcome, Phase, StepFinished, StepProgress, StepStarted
from cto.ports import Clock

# What was stopped half-way tells that many titles of a kind.
_NAMED = 8


@dataclass(frozen=True, kw_only=True)
class StepRun:
    """One step as it went. Times are seconds since the run's start."""

    id: str
    title: str
    outcome: Outcome
    started_s: float
    ended_s: float
    after: tuple[str, ...] = ()
    message: str = ""
    error: CtoError | None = field(default=None, compare=False)

    @property
    def seconds(self) -> float:
        return self.ended_s - self.started_s

    def later(self, seconds: float, *, after: tuple[str, ...]) -> StepRun:
        start, end = self.started_s + seconds, self.ended_s + seconds
        return replace(self, started_s=start, ended_s=end, after=after)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "outcome": self.outcome.value,
            "started_seconds": round(self.started_s, 3),
            "seconds": round(self.seconds, 3),
            "message": self.message,
            **({"error": self.error.code} if self.error else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """All steps of a run, in the order of their ends."""

    runs: tuple[StepRun, ...]
    seconds: float
    not_run: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[CtoError, ...]:
        return tuple(run.error for run in self.runs if run.error is not None)

    @property
    def critical_path(self) -> tuple[StepRun, ...]:
        return critical_path(self.runs)

    def followed_by(self, other: Report) -> Report:
        """Return both in one: what the other one did came after everything here."""
        after = tuple(run.id for run in self.runs[-1:])
        later = [run.later(self.seconds, after=run.after or after) for run in other.runs]
        return replace(
            self,
            runs=(*self.runs, *later),
            seconds=self.seconds + other.seconds,
            not_run=(*self.not_run, *other.not_run),
        )

    def preceded_by(self, runs: Sequence[StepRun], *, seconds: float) -> Report:
        """Return it as the report of a longer run, which began with other steps, one by one.

        Args:
            runs: Those steps, with times since the longer run's start. What the plan then found
                done, under the same id, is left out.
            seconds: How long the longer run took; it ended when this one did.
        """
        first = tuple(
            replace(run, after=tuple(before.id for before in runs[number - 1 : number]))
            for number, run in enumerate(runs)
        )
        later, after = seconds - self.seconds, tuple(run.id for run in first[-1:])
        names = {run.id for run in first}
        rest = [run for run in self.runs if run.id not in names]
        return replace(
            self,
            runs=(*first, *(run.later(later, after=run.after or after) for run in rest)),
            seconds=seconds,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 3),
            "steps": [run.to_json() for run in self.runs],
            "not_run": list(self.not_run),
            "critical_path": [run.id for run in self.critical_path],
        }


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a run got that was stopped: titles of its steps."""

    done: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    not_begun: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = {
            "done, and stays done": self.done,
            "failed": self.failed,
            "in the middle of": self.running,
            "not begun": self.not_begun,
        }
        return "\n".join(f"{word}: {_listed(titles)}" for word, titles in parts.items() if titles)


def _listed(titles: Sequence[str]) -> str:
    rest = len(titles) - _NAMED
    return "; ".join([*titles[:_NAMED], *([f"and {rest} more steps"] if rest > 0 else [])])


def critical_path(runs: Sequence[StepRun]) -> tuple[StepRun, ...]:
    """Return the chain of steps that the run's end waited for, first to last.

    From the step that ended last, go back to the dependency that ended last, and so on.
    """
    by_id: Mapping[str, StepRun] = {run.id: run for run in runs}
    path: list[StepRun] = []
    current = max(runs, key=lambda run: run.ended_s, default=None)
    while current is not None:
        path.append(current)
        before = [by_id[name] for name in current.after if name in by_id]
        current = max(before, key=lambda run: run.ended_s, default=None)
    return tuple(reversed(path))


@contextmanager
def shown(
    listen: Listener, clock: Clock, phase: Phase, name: str, title: str
) -> Iterator[Callable[[str], None]]:
    """Show a block as a step. It gets what tells its progress."""
    begin = clock.monotonic()
    listen(StepStarted(name, phase, title))
    try:
        yield lambda text: listen(StepProgress(name, text))
    except BaseException as error:
        seconds = clock.monotonic() - begin
        listen(StepFinished(name, Outcome.FAILED, seconds, str(error)))
        raise
    listen(StepFinished(name, Outcome.DONE, clock.monotonic() - begin))
