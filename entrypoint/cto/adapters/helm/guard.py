"""Tells whether a helm of an earlier run still lives.

A file is locked (flock) as long as any process has the open file description: the installer that
locked it and every child that inherited it. The kernel unlocks it when the last of them is gone,
however it died.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event as Flag

from cto.errors import ToolError
from cto.ports import Clock
from cto.storage import writing

_PATIENCE_S = 30.0
_LOOK_S = 0.2


class HelmGuard:
    """Keeps two runs' helms apart on one machine.

    Nothing is written before it is held: who only looks has no helm that could outlive it, and
    perhaps no folder to write to.
    """

    def __init__(self, file: Path, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._file = file
        self._clock = clock
        self._proc = proc
        self._descriptor: int | None = None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What children inherit."""
        return () if self._descriptor is None else (self._descriptor,)

    @contextmanager
    def held(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Wait until no helm of an earlier run lives, then keep the lock until `close`.

        Raises:
            ToolError: CTO-1503, one lives on; its processes are named.
            PreflightError: CTO-1485, the file cannot be made.
        """
        descriptor = self._descriptor = self._open()
        end = self._clock.monotonic() + _PATIENCE_S
        told = False
        while not self._try(descriptor):
            holders = self._holders()
            named = f"process {', '.join(holders) or 'unknown'}"
            if self._clock.monotonic() >= end:
                message = f"an earlier run, or its helm, still lives: {named}"
                raise ToolError("CTO-1503", message, hint=_hint(holders))
            if not told:
                notice(f"waiting for the end of an earlier run, or of its helm: {named}")
                told = True
            self._clock.wait(Flag(), _LOOK_S)
        yield

    def close(self) -> None:
        """Give the lock back: at once, or as soon as the last child that inherited it is gone."""
        if self._descriptor is None:
            return
        # Not LOCK_UN: it would unlock the file for children that still live as well, see flock(2).
        os.close(self._descriptor)
        self._descriptor = None
        with suppress(OSError):
            self._take_away()
            # Fails while something else is in there.
            self._file.parent.rmdir()
            self._file.parent.parent.rmdir()

    def _take_away(self) -> None:
        """Remove the file if nobody holds it. Asked with a description of its own, to be sure."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._is_there(descriptor):
                self._file.unlink()
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        with writing(self._file):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _try(self, descriptor: int) -> bool:
        """Lock the file that is there: the one that we opened may have been taken away since."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if self._is_there(descriptor):
            return True
        # The number stays the same: children may have it already.
        fresh = self._open()
        os.dup2(fresh, descriptor, inheritable=False)
        os.close(fresh)
        return False

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == self._file.stat().st_ino
        except FileNotFoundError:
            return False

    def _holders(self) -> list[str]:
        """Return the processes that have the file open, but ourselves."""
        me = str(os.getpid())
        folders = (folder for folder in self._proc.iterdir() if folder.name.isdecimal())
        return sorted(f.name for f in folders if f.name != me and self._has_open(f))

    def _has_open(self, folder: Path) -> bool:
        target = str(self._file.absolute())
        try:
            return any(str(link.readlink()) == target for link in (folder / "fd").iterdir())
        except OSError:
            return False


def _hint(holders: list[str]) -> str:
    pids = " ".join(holders)
    # A process that was stopped (Ctrl-Z) ends only when it goes on.
    how = f"end it (`kill {pids}; kill -CONT {pids}`)" if pids else "end it"
    return f"Wait until it ends, or {how}, then repeat the command."
