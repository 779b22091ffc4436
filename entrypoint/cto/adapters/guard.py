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

_PATIENCE_S = 30.0
_LOOK_S = 0.2


class HelmGuard:
    """Keeps two runs' helms apart on one machine. `descriptor` is what children inherit."""

    def __init__(self, file: Path, clock: Clock, proc: Path = Path("/proc")) -> None:
        self._file = file
        self._clock = clock
        self._proc = proc
        self.descriptor = self._open()

    @contextmanager
    def held(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Wait until no helm of an earlier run lives, then keep the lock.

        Raises:
            ToolError: CTO-1503, one lives on; its processes are named.
        """
        end = self._clock.monotonic() + _PATIENCE_S
        told = False
        while not self._try():
            holders = ", ".join(self._holders()) or "unknown"
            if self._clock.monotonic() >= end:
                message = f"helm of an earlier run is still at work: process {holders}"
                hint = f"Wait until it ends, or end it (kill {holders}), then repeat the command."
                raise ToolError("CTO-1503", message, hint=hint)
            if not told:
                notice(f"waiting for helm of an earlier run to end: process {holders}")
                told = True
            self._clock.wait(Flag(), _LOOK_S)
        try:
            yield
        finally:
            fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file, and take it away if nobody holds it."""
        if self._try():
            self._file.unlink(missing_ok=True)
        os.close(self.descriptor)
        with suppress(OSError):
            # Fails while something else is in there.
            self._file.parent.rmdir()
            self._file.parent.parent.rmdir()

    def _open(self) -> int:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _try(self) -> bool:
        """Lock the file that is there: the one that we opened may have been taken away since."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if self._is_there():
            return True
        # The number stays the same: the runner knows it already.
        fresh = self._open()
        os.dup2(fresh, self.descriptor, inheritable=False)
        os.close(fresh)
        return False

    def _is_there(self) -> bool:
        try:
            return os.fstat(self.descriptor).st_ino == self._file.stat().st_ino
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
