"""Gathers facts part by part, at once, until the time is over.

A part that hangs, as a request to a machine that is gone may, holds up nothing: its thread is left
behind. What it had gathered by then counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

from cto.errors import Cancelled, CtoError
from cto.ports import Clock
from cto.support.facts import Facts

Part = Callable[[], Iterable[tuple[str, Any]]]
"""Yields files: name, and JSON-ready data or text."""


class Gathering:
    """What is gathered. Any thread may look.

    Args:
        clock: Measures the time.
        limit_s: When it is over, from now.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._end = clock.monotonic() + limit_s
        self._lock = Lock()
        self._over = False
        self._done: dict[str, Flag] = {}
        self._files: dict[str, Any] = {}
        self._missing: dict[str, str] = {}

    def begin(self, name: str, part: Part) -> None:
        """Gather a part from now on.

        Args:
            name: What it is called if it cannot be had.
            part: Gathers it.
        """
        done = self._done[name] = Flag()
        Thread(target=self._run, args=(name, part, done), name=name, daemon=True).start()

    def wait(self, *names: str, most_s: float = math.inf) -> None:
        """Return when these parts are done, or the time is over; all of them if none is named.

        Args:
            names: Of parts that were begun.
            most_s: How long each is waited for, if that is sooner.
        """
        for name in names or tuple(self._done):
            left_s = max(0.0, self._end - self._clock.monotonic())
            self._clock.wait(self._done[name], min(left_s, most_s))

    def miss(self, name: str, reason: str) -> None:
        """Say of something why it is not there."""
        with self._lock:
            self._missing[name] = reason

    def get(self, name: str) -> Any:
        """Return a file that was gathered; None if it was not, or not yet."""
        with self._lock:
            return self._files.get(name)

    def facts(self) -> Facts:
        """Return everything that there is by now; what comes later is forgotten."""
        with self._lock:
            self._over = True
            late = {
                name: f"it was not there after {self._limit_s:g} s"
                for name, done in self._done.items()
                if not done.is_set()
            }
            return Facts(dict(self._files), {**self._missing, **late})

    def _run(self, name: str, part: Part, done: Flag) -> None:
        try:
            for file, data in part():
                with self._lock:
                    if self._over:
                        return
                    self._files[file] = data
        except CtoError as error:
            self.miss(name, f"{error.code}: {error.message}")
        except Cancelled:
            self.miss(name, "it was given up")
        except Exception as error:  # noqa: BLE001 - one part's fault is no reason to have nothing
            # What it says may hold what it choked on.
            self.miss(name, f"an internal error: {type(error).__name__}")
        finally:
            done.set()


def told(error: CtoError) -> Mapping[str, Any]:
    """Return an error as a fact."""
    return {
        "code": error.code,
        "status": getattr(error, "status", 0),
        "message": error.message,
        "details": error.details,
        "text": f"{error.message}\n{error.details}",
        "fix": error.hint,
    }
