"""What is known of a run while it goes on, and the lines that tell it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, assert_never

from cto.events import (
    Event,
    Notice,
    Outcome,
    Phase,
    PhaseStarted,
    StepFinished,
    StepProgress,
    StepStarted,
    Transfer,
)

if TYPE_CHECKING:  # ports brings YAML along, which `cto --help` need not wait for
    from cto.ports import Clock

MARKS = {
    Outcome.DONE: "✓",
    Outcome.UNCHANGED: "=",
    Outcome.SKIPPED: "-",
    Outcome.FAILED: "✗",
}
RUNNING = "…"
WARNING = "!"
# Shorter downloads are not worth a line.
LONG_S = 2.0
_PHASES = tuple(Phase)
# Colours and cursor movements of the programs whose lines are shown, then other control characters.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]")
_BLANKS = re.compile(r"[\t\v\f\r]+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]+")


class Screen(Protocol):
    """Where a run tells how it goes. All but `close` may be called by any thread."""

    def listen(self, event: Event) -> None: ...

    def notice(self, text: str, *, warning: bool = False) -> None: ...

    def close(self) -> None: ...


@dataclass
class Running:
    """A step that has started and is not over.

    Attributes:
        phase: None is that of the last heading, whatever it is.
        cause: What it waits for.
        amount: How far a download is: worth a look, not a line.
    """

    title: str
    phase: Phase | None
    started: float
    estimate_s: float = 0.0
    cause: str = ""
    amount: str = ""


@dataclass(frozen=True)
class Line:
    """A line that stays.

    Attributes:
        mark: What kind of line it is; empty for headings.
        text: Without the mark. May have several lines.
        elapsed_s: Since the start of the run.
        loud: Shown even with `--quiet`.
    """

    mark: str
    text: str
    elapsed_s: float
    loud: bool = False

    @property
    def body(self) -> str:
        head = f"  {self.mark} " if self.mark else ""
        return (head + self.text).replace("\n", "\n" + " " * (len("000:00  ") + 4))

    def __str__(self) -> str:
        return f"{stopwatch(self.elapsed_s)}  {self.body}"


class Frame:
    """Says a text before the first line that has a reason for it, and after the last one.

    Args:
        text: Returns it; '' as long as there is no reason for one.
        write: Takes one line.
    """

    def __init__(self, text: Callable[[], str], write: Callable[[str], None]) -> None:
        self._text = text
        self._write = write
        self._opened = ""

    def open(self) -> None:
        if not self._opened:
            self._opened = self._text()
            self._say()

    def close(self) -> None:
        self._say()
        self._opened = ""

    def _say(self) -> None:
        if self._opened:
            self._write(self._opened)


class Ledger:
    """Turns events into lines, and keeps what is running. Not safe for threads: its owner is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self._shown: set[Phase] = set()
        self._phase: Phase | None = None
        self.running: dict[str, Running] = {}

    @property
    def elapsed_s(self) -> float:
        return self._clock.monotonic() - self._start

    def take(self, event: Event) -> list[Line]:
        """Return the lines that an event adds to those that stay."""
        match event:
            case PhaseStarted():
                return self._heading(event.phase)
            case StepStarted():
                self.running[event.step_id] = Running(
                    clean(event.title), event.phase, self._clock.monotonic(), event.estimate_s
                )
                return self._heading(event.phase)
            case StepProgress():
                if step := self.running.get(event.step_id):
                    step.cause = clean(event.message)
                return []
            case StepFinished():
                return [self._finished(event)]
            case Notice():
                mark = WARNING if event.warning else "·"
                return [self.line(mark, clean(event.text), loud=event.warning)]
            case Transfer():
                return self._transferred(event)
            case _:
                assert_never(event)

    def abandoned(self) -> list[Line]:
        """Return a line for each step that will not be over, and forget them."""
        lines = [
            self.line("·", f"{self.label(step)}: not finished{_because(step.cause)}", loud=True)
            for step in self.running.values()
        ]
        self.running.clear()
        return lines

    def line(self, mark: str, text: str, *, loud: bool = False) -> Line:
        return Line(mark, text, self.elapsed_s, loud)

    def label(self, step: Running) -> str:
        """Return the title, with the phase if it is not the one of the last heading."""
        if step.phase in (None, self._phase):
            return step.title
        return f"{_number(step.phase)} {step.title}"

    def age_s(self, step: Running) -> float:
        return self._clock.monotonic() - step.started

    def _heading(self, phase: Phase) -> list[Line]:
        """Return the headings up to a phase: steps overlap, the phases' order is always the same.

        Only where the first phase was shown: an uninstallation has just some of them.
        """
        if phase in self._shown:
            return []
        place = _PHASES.index(phase) if _PHASES[0] in self._shown else 0
        new = [*(p for p in _PHASES[:place] if p not in self._shown), phase]
        self._shown.update(new)
        self._phase = phase
        return [self.line("", f"{_number(p)} {p.value}") for p in new]

    def _transferred(self, event: Transfer) -> list[Line]:
        """Keep a row as long as it lasts, and a line of one that lasted long."""
        key = f"download {event.source}"
        size = f" ({megabytes(event.total)})" if event.total else ""
        new = Running(f"Download {clean(event.name)}{size}", None, self._clock.monotonic())
        step = self.running.setdefault(key, new)
        of = f" of {megabytes(event.total)}" if event.total else ""
        step.amount = f"{megabytes(event.done)}{of}"
        if not event.over:
            return []
        del self.running[key]
        if self.age_s(step) < LONG_S:
            return []
        took = f"{step.title} ({duration(self.age_s(step))})"
        if event.total and event.done < event.total:
            return [self.line("·", f"{took}: broke off after {step.amount}")]
        return [self.line(MARKS[Outcome.DONE], took)]

    def _finished(self, event: StepFinished) -> Line:
        step = self.running.pop(event.step_id, None)
        label = self.label(step) if step else event.step_id
        message = clean(event.message)
        took = f" ({duration(event.seconds)})" if event.seconds >= 0.05 else ""
        match event.outcome:
            case Outcome.SKIPPED:
                text = f"{label}: skipped" + (f", {message}" if message else "")
            case Outcome.DONE | Outcome.UNCHANGED | Outcome.FAILED:
                text = label + took + (f": {message}" if message else "")
            case _:
                assert_never(event.outcome)
        return self.line(MARKS[event.outcome], text, loud=event.outcome is Outcome.FAILED)


def clean(text: str) -> str:
    """Return text of somebody else's program without what would steer a terminal."""
    shown = _CONTROL.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))
    return _BLANKS.sub(" ", shown).strip()


def stopwatch(seconds: float) -> str:
    """Return a time since the start, six characters wide: `  1:05`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:3}:{rest:02}"


def duration(seconds: float) -> str:
    """Return a duration as people say it: `0.4 s`, `41 s`, `2 min 05 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def megabytes(size: int) -> str:
    """Return a size as people say it: `0.3 MB`, `58 MB`."""
    return f"{size / 1e6:.0f} MB" if size >= 9.95e6 else f"{size / 1e6:.1f} MB"


def _number(phase: Phase) -> str:
    return f"[{_PHASES.index(phase) + 1}/{len(_PHASES)}]"


def _because(cause: str) -> str:
    return f" ({cause})" if cause else ""
