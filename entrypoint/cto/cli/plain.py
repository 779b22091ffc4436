"""The log of a run where nobody watches a terminal: one line for each change."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING

from cto.cli.progress import LONG_S, RUNNING, Frame, Ledger, Line, Running, duration
from cto.events import Event, Notice, StepProgress

if TYPE_CHECKING:
    from cto.ports import Clock

# A step that is over sooner gets one line, not two; what it waits for by then is no news.
_ANNOUNCE_AFTER_S = LONG_S
_CAUSE_EVERY_S = 2.0
_HEARTBEAT_S = 30.0
_TICK_S = 0.5


@dataclass
class _Said:
    """What was told of a running step, and when."""

    cause: str = ""
    at: float = float("-inf")
    started: bool = False


class Plain:
    """Writes lines.

    Args:
        write: Takes one line, without its end.
        clock: Measures; how often `tick` is called does not depend on it.
        quiet: Only what went wrong.
        frame: Returns what is said before the first line and after the last one; '' for nothing.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Clock,
        *,
        quiet: bool = False,
        frame: Callable[[], str] = str,
    ) -> None:
        self._write = write
        self._clock = clock
        self._quiet = quiet
        self._frame = Frame(frame, write)
        self._ledger = Ledger(clock)
        self._said: dict[str, _Said] = {}
        self._last_line = clock.monotonic()
        self._lock = Lock()
        self._closed = Flag()
        self._ticker: Thread | None = None

    def open(self, interval_s: float = _TICK_S) -> None:
        """Start to tell what only time makes worth telling."""
        self._ticker = Thread(target=self._run, args=(interval_s,), name="screen", daemon=True)
        self._ticker.start()

    def listen(self, event: Event) -> None:
        """Tell an event. May be called by any thread."""
        with self._lock:
            self._show(self._ledger.take(event))
            if isinstance(event, StepProgress):
                self._tell_cause(event.step_id, counting=False)
            self._forget()

    def notice(self, text: str, *, warning: bool = False) -> None:
        self.listen(Notice(text, warning=warning))

    def tick(self) -> None:
        """Tell what is due: long steps, causes that were held back, that we are alive."""
        with self._lock:
            for step_id in self._ledger.running:
                self._tell_start(step_id)
                self._tell_cause(step_id, counting=True)
            self._tell_alive()

    def close(self) -> None:
        """Tell what is not finished, and end."""
        self._closed.set()
        if self._ticker:
            self._ticker.join()
        with self._lock:
            self._show(self._ledger.abandoned())
            self._frame.close()

    def _run(self, interval_s: float) -> None:
        while not self._closed.wait(interval_s):
            self.tick()

    def _show(self, lines: list[Line]) -> None:
        for line in lines:
            if line.loud or not self._quiet:
                self._frame.open()
                self._write(str(line))
                self._last_line = self._clock.monotonic()

    def _tell_start(self, step_id: str) -> None:
        step, said = self._of(step_id)
        if said.started or self._is_young(step):
            return
        said.started = True
        about = f" (about {duration(step.estimate_s)})" if step.estimate_s else ""
        if step.cause == said.cause:
            self._show([self._ledger.line(RUNNING, self._ledger.label(step) + about)])

    def _tell_cause(self, step_id: str, *, counting: bool) -> None:
        if step_id not in self._ledger.running:
            return
        step, said = self._of(step_id)
        if not step.cause or step.cause == said.cause or self._is_young(step):
            return
        now = self._clock.monotonic()
        counts = _gist(step.cause) == _gist(said.cause)
        # The last count is often followed by the end of the step, which says the same.
        if counts and not (counting and now - said.at >= _CAUSE_EVERY_S):
            return
        said.cause, said.at, said.started = step.cause, now, True
        self._show([self._ledger.line(RUNNING, f"{self._ledger.label(step)}: {step.cause}")])

    def _tell_alive(self) -> None:
        running = list(self._ledger.running.values())
        if not running or self._clock.monotonic() - self._last_line < _HEARTBEAT_S:
            return
        oldest = min(running, key=lambda step: step.started)
        steps = "1 step" if len(running) == 1 else f"{len(running)} steps"
        text = f"still at work on {steps}: {self._state_of(oldest)}"
        self._show([self._ledger.line(RUNNING, text)])

    def _state_of(self, step: Running) -> str:
        age = duration(self._ledger.age_s(step))
        of = f" of about {duration(step.estimate_s)}" if step.estimate_s else ""
        what = step.cause or step.amount
        return f"{step.title}, {age}{of}" + (f": {what}" if what else "")

    def _is_young(self, step: Running) -> bool:
        return self._ledger.age_s(step) < _ANNOUNCE_AFTER_S

    def _of(self, step_id: str) -> tuple[Running, _Said]:
        return self._ledger.running[step_id], self._said.setdefault(step_id, _Said())

    def _forget(self) -> None:
        for step_id in self._said.keys() - self._ledger.running.keys():
            del self._said[step_id]


def _gist(cause: str) -> tuple[str, ...]:
    """Return the first words without numbers: `12 of 30 ready` is no news after `11 of 30`."""
    return tuple(re.sub(r"[0-9]+", "#", cause).split()[:3])
