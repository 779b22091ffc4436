"""Several transfers at once, and how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event as Flag
from threading import Lock
from typing import TypeVar

from cto.errors import Cancelled

T = TypeVar("T")
R = TypeVar("R")


def each(action: Callable[[T], R], things: Iterable[T], *, workers: int, stop: Flag) -> list[R]:
    """Call an action for each thing, in threads; return the results in the order of the things.

    Args:
        action: Ends soon, with Cancelled, once `stop` is set.
        things: What to call it with.
        workers: How many at once.
        stop: Set by this function when one fails, or by others to end all.

    Raises:
        Exception: What the first one raised that failed.
        Cancelled: `stop` was set by others.
    """

    def guarded(thing: T) -> R:
        if stop.is_set():
            raise Cancelled
        return action(thing)

    with ThreadPoolExecutor(max(workers, 1)) as pool:
        futures: list[Future[R]] = []
        try:
            futures += [pool.submit(guarded, thing) for thing in things]
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future.done() and future.exception()]
        except BaseException:
            stop.set()
            raise
        if failed:
            stop.set()
    errors = [error for future in futures if (error := future.exception())]
    for error in errors:
        if not isinstance(error, Cancelled):
            raise error
    if errors:
        raise errors[0]
    return [future.result() for future in futures]


@dataclass(frozen=True)
class TransferProgress:
    """A step of a transfer.

    Attributes:
        text: What was just done, e.g. `docker.io/library/busybox:1.38.0`.
        done: Bytes.
        total: Bytes.
    """

    text: str
    done: int
    total: int


Listener = Callable[[TransferProgress], None]


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
            self._listener(TransferProgress(text, self._done, self._total))
