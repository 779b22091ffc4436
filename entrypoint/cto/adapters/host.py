"""What the kernel says about this machine and its processes: Linux' /proc."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: state is field 3, start time 22.
# The program's name before them may hold spaces and brackets.
_STATE = 3 - 3
_START_TIME = 22 - 3

# Docker makes the first, Podman the second.
_CONTAINER_MARKS = (".dockerenv", "run/.containerenv")


@dataclass(frozen=True)
class Process:
    """A living process. `started` tells it from a later one with the same number."""

    pid: int
    started: str
    argv: tuple[str, ...]


class Host:
    """This machine.

    Args:
        root: Where its file system is; tests give a copy.
        kill: Sends a signal to a process, as `os.kill`.
    """

    def __init__(self, root: Path = Path("/"), kill: Callable[[int, int], None] = os.kill) -> None:
        self._root = root
        self._proc = root / "proc"
        self._kill = kill
        self.name = socket.gethostname()
        self.pid = os.getpid()

    @property
    def boot_id(self) -> str:
        """Change with every start of the machine; '' where the kernel does not tell."""
        return self._read("sys/kernel/random/boot_id").strip()

    @property
    def pid_namespace(self) -> str:
        """Differ between containers, whose processes have numbers of their own."""
        try:
            return str((self._proc / "self/ns/pid").readlink())
        except OSError:
            return ""

    @property
    def in_container(self) -> bool:
        return any((self._root / mark).exists() for mark in _CONTAINER_MARKS)

    @property
    def system(self) -> str:
        """What the machine runs, as `Debian GNU/Linux 13`; '' if it does not tell.

        https://www.freedesktop.org/software/systemd/man/latest/os-release.html
        """
        for file in ("etc/os-release", "usr/lib/os-release"):
            try:
                text = (self._root / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            found = dict(line.partition("=")[::2] for line in text.splitlines())
            return found.get("PRETTY_NAME", "").strip("\"'")
        return ""

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes of memory, and of it what programs may still have; 0 where nobody tells."""
        found = dict(line.partition(":")[::2] for line in self._read("meminfo").splitlines())
        total, free = (
            int((found.get(name) or "0").split()[0]) << 10 for name in ("MemTotal", "MemAvailable")
        )
        return total, free

    def started(self, pid: int) -> str:
        """Return when a process was started, in ticks since the boot; '' if it does not live."""
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        if len(fields) <= _START_TIME or fields[_STATE] in ("Z", "X"):
            return ""
        return fields[_START_TIME]

    def is_stopped(self, pid: int) -> bool:
        """Tell whether a process was stopped: it lives, and does nothing until it is continued."""
        fields = self._read(f"{pid}/stat").rpartition(")")[2].split()
        return len(fields) > _STATE and fields[_STATE] in ("T", "t")

    def processes(self) -> Iterator[Process]:
        """Yield every living process whose command line may be read."""
        for folder in self._proc.iterdir():
            if not folder.name.isdecimal():
                continue
            argv = tuple(self._read(f"{folder.name}/cmdline").rstrip("\0").split("\0"))
            started = self.started(int(folder.name))
            if argv != ("",) and started:
                yield Process(int(folder.name), started, argv)

    def end(self, process: Process, *, force: bool) -> None:
        """Ask a process to end, or kill it; nothing happens if it is gone."""
        if self.started(process.pid) != process.started:
            return
        try:
            self._kill(process.pid, signal.SIGKILL if force else signal.SIGTERM)
        except ProcessLookupError:
            return

    def _read(self, name: str) -> str:
        try:
            return (self._proc / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
