"""How far a transfer is, told to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock


@dataclass(frozen=True)
class Progress:
    """A step of a transfer.

    Attributes:
        text: What was just done, e.g. `docker.io/library/busybox:1.38.0`.
        done: Bytes.
        total: Bytes.
    """

    text: str
    done: int
    total: int


Listener = Callable[[Progress], None]


class Counter:
    """Adds up what several threads did."""

    def __init__(self, total: int, listener: Listener) -> None:
        self._total = total
        self._listener = listener
        self._done = 0
        self._lock = Lock()

    def add(self, text: str, size: int) -> None:
        with self._lock:
            self._done += size
            self._listener(Progress(text, self._done, self._total))
