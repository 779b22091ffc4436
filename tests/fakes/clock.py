"""A clock that moves only when it is told to, or when somebody waits on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event as Flag
from threading import RLock

_EPOCH = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
# Lets other threads run before the time jumps: a waiter never sees the timeout of something
# that another thread was about to do.
_YIELD_S = 0.002


class FakeClock:
    """Implements `ports.Clock`. `wait` advances at once by what it was asked to wait for.

    Attributes:
        waits: Every timeout that somebody waited for.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._elapsed = 0.0
        self._actions: list[tuple[float, int, Callable[[], object]]] = []
        self._added = 0
        self._lock = RLock()

    def monotonic(self) -> float:
        return 1000.0 + self._elapsed

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self._elapsed)

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        if flag.wait(_YIELD_S):
            return True
        self.advance(timeout_s, until=flag)
        return flag.is_set()

    def at(self, delay_s: float, action: Callable[[], object]) -> None:
        """Call `action` when the clock will have moved by `delay_s` from now."""
        with self._lock:
            self._added += 1
            self._actions.append((self._elapsed + delay_s, self._added, action))

    def advance(self, seconds: float, *, until: Flag | None = None) -> None:
        """Move the clock, calling what is due on the way; stop early once `until` is set."""
        with self._lock:
            goal = self._elapsed + max(seconds, 0.0)
            while (due := self._due(goal)) and not (until and until.is_set()):
                self._actions.remove(due)
                self._elapsed = max(self._elapsed, due[0])
                due[2]()
            if not (until and until.is_set()):
                self._elapsed = max(self._elapsed, goal)

    def _due(self, goal: float) -> tuple[float, int, Callable[[], object]] | None:
        ready = [action for action in self._actions if action[0] <= goal]
        return min(ready, key=lambda action: action[:2], default=None)
