"""Lets nothing through to the cluster once the run may not write any more.

A step looks at no flag between two requests, and a process that was stopped for a minute wakes up
in the middle of one. So every write asks first whether the lock is still held, and waits where that
is not known for the moment; what was already sent to the API server cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from cto.errors import Cancelled
from cto.ports import Cluster, Releases

MayWrite = Callable[[], bool]

# What changes nothing. A method that is not named here is a write: a new one is guarded from its
# first day on.
CLUSTER_READS = frozenset(
    {
        # Of our own connections.
        "close",
        "get",
        "kinds",
        "list",
        "list_metadata",
        "logs",
        "now",
        # To a program, not to the API server's objects.
        "post",
        "probe",
        "scan",
        "server_version",
        "uid",
        "unanswered",
        "watch",
    }
)
RELEASES_READS = frozenset({"chart", "hooks", "manifest", "status", "template"})


@dataclass
class Gate:
    """Says whether the run may write: while the lock is held, and the run goes on.

    Attributes:
        held: Whether nobody else can have the lock now.
        paused: Whether that may come again: the lock could not be renewed, and is not lost.
        wait: Passes a moment of a pause.
    """

    held: MayWrite = lambda: False
    paused: MayWrite = lambda: False
    wait: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        """Return the answer; during a pause not before its end."""
        while not (held := self.held()) and self.paused():
            self.wait()
        return held

    def held_now(self) -> bool:
        """Return the answer at once."""
        return self.held()

    def shut(self) -> None:
        """Let nothing through any more."""
        self.paused = lambda: False
        self.held = lambda: False


def guarded_cluster(cluster: Cluster, may_write: MayWrite) -> Cluster:
    """Return the cluster, with writes that raise Cancelled when `may_write` says no."""
    return cast("Cluster", _Guarded(cluster, CLUSTER_READS, may_write))


def guarded_releases(releases: Releases, may_write: MayWrite) -> Releases:
    """Return Helm, with changes that raise Cancelled when `may_write` says no."""
    return cast("Releases", _Guarded(releases, RELEASES_READS, may_write))


class _Guarded:
    def __init__(self, target: object, reads: frozenset[str], may_write: MayWrite) -> None:
        self._target = target
        self._reads = reads
        self._may_write = may_write

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)
        if name in self._reads:
            return method

        def write(*args: Any, **options: Any) -> Any:
            if not self._may_write():
                raise Cancelled
            return method(*args, **options)

        return write
