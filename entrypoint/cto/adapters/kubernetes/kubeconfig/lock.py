"""kubectl's lock of a kubeconfig: a file beside it, held for milliseconds by whoever made it.

The same file, made the same way, as client-go: tools/clientcmd/config.go, lockFile. kubectl's is
empty; ours says whose it is, so that one of a killed run need not stay for ever.
"""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

from cto.adapters.host import Host
from cto.errors import PreflightError
from cto.holder import Containers, Holder, NoContainers
from cto.ports import Clock

_WAIT_S = 5.0
_POLL_S = 0.05
_HEAD = "cto "


class KubeLock:
    """The lock of one kubeconfig.

    Args:
        file: The kubeconfig.
    """

    def __init__(self, file: Path, clock: Clock, host: Host, containers: Containers) -> None:
        self._path = file.with_name(file.name + ".lock")
        self._clock = clock
        self._host = host
        self._containers = containers

    def acquire(self) -> None:
        """Take it; wait some seconds for whoever has it.

        Raises:
            PreflightError: CTO-1404, somebody keeps it.
            OSError: Its folder cannot be written.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        end = self._clock.monotonic() + _WAIT_S
        while not self._take():
            late = self._clock.monotonic() >= end
            if self._clear(ask=late):
                continue
            if late:
                raise self._kept()
            self._clock.wait(Flag(), _POLL_S)

    def release(self) -> None:
        self._path.unlink(missing_ok=True)

    def _take(self) -> bool:
        text = f"{_HEAD}{Holder.here(self._host, self._containers)}"
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return False
        try:
            os.write(descriptor, text.encode())
        except BaseException:
            # Without a word on whose it is, nobody could ever clear it.
            self.release()
            raise
        finally:
            os.close(descriptor)
        return True

    def _clear(self, *, ask: bool) -> bool:
        """Remove the lock if one of us made it and was killed before its end.

        Args:
            ask: Whether to ask for its container, too: that takes longer than locks are held.
        """
        text = self._read()
        # Read again: while we asked, another one may have cleared and taken it.
        if not self._left_behind(text, ask=ask) or self._read() != text:
            return False
        self.release()
        return True

    def _read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _left_behind(self, text: str, *, ask: bool) -> bool:
        if not text.startswith(_HEAD):
            return False
        containers = self._containers if ask else NoContainers()
        return Holder.parse(text.removeprefix(_HEAD)).lives(self._host, containers) is False

    def _kept(self) -> PreflightError:
        lock, now = self._path, self._clock.now()
        with suppress(OSError):
            age_s = (now - datetime.fromtimestamp(lock.stat().st_mtime, UTC)).total_seconds()
            return PreflightError(
                "CTO-1404",
                f"{lock} has been there for {max(0, round(age_s))} s: another program changes the "
                "kubeconfig, or ended without taking its lock away",
                hint=f"If no cto, kind or kubectl config runs: rm {shlex.quote(str(lock))}",
            )
        return PreflightError("CTO-1404", f"{lock} is taken again and again by other programs")
