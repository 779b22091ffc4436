"""kubectl's lock of a kubeconfig: a file beside it, held for milliseconds by whoever made it.

The same file, made the same way, as client-go: tools/clientcmd/config.go, lockFile. kubectl's is
empty; ours says whose it is, so that one of a killed run need not stay for ever.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

from cto.adapters.host import Host
from cto.errors import PreflightError
from cto.ports import Clock

_WAIT_S = 5.0
_POLL_S = 0.05
_HEAD = "cto "


@dataclass(frozen=True)
class Containers:
    """What is known of the containers that installers run in.

    Attributes:
        own: The id of ours; '' if there is none.
        lives: Whether processes of a container may live, by its id.
    """

    own: str = ""
    lives: Callable[[str], bool] = lambda _: True


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
        text = self._text()
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

    def _text(self) -> str:
        pid = self._host.pid
        known = {
            "boot": self._host.boot_id,
            "pidns": self._host.pid_namespace,
            "pid": str(pid),
            "started": self._host.started(pid),
            "container": self._containers.own,
        }
        return _HEAD + " ".join(f"{key}={value}" for key, value in known.items())

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
        words = text.removeprefix(_HEAD).split() if text.startswith(_HEAD) else ()
        said = dict(word.partition("=")[::2] for word in words)
        pid, started, container = (said.get(key, "") for key in ("pid", "started", "container"))
        # With another boot it may as well be another machine's: a home can be on a network.
        if not started or not pid.isdecimal() or said.get("boot") != self._host.boot_id:
            return False
        if said.get("pidns") == self._host.pid_namespace:
            return self._host.started(int(pid)) != started
        if not container or not ask:
            return False
        # Our own, with another PID namespace, was started again since: its processes are new ones.
        return container == self._containers.own or not self._containers.lives(container)

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
