"""The machine that is measured on: what it is, whether it is quiet, what processes hold."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Self

PROC = Path("/proc")
# A cluster without a load takes some per cent of a processor itself.
QUIET_BUSY = 0.15
QUIET_LOAD = 2.5
LOOK_S = 2.0
SAMPLE_S = 0.1


def describe() -> dict[str, str]:
    """Return what a reader needs to compare with his own machine."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", _text("cpuinfo"), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s+(\d+)", _text("meminfo"), re.MULTILINE)
    return {
        "processor": f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.machine()}",
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "?",
        "system": f"Linux {platform.release().split('-')[0]}, Python {platform.python_version()}",
    }


def load() -> float:
    return os.getloadavg()[0]


def wait_until_quiet(patience_s: float) -> tuple[float, bool]:
    """Wait until nobody else uses the machine; return the load, and whether it is quiet.

    The load of the last minute still counts what the sample before did. So what counts is how
    busy the processors are now; the load is for the record.
    """
    end = time.monotonic() + patience_s
    while True:
        if _busy() < QUIET_BUSY and load() < QUIET_LOAD:
            return load(), True
        if time.monotonic() >= end:
            return load(), False


def _busy() -> float:
    """Return the share of the processors' time that was used during a look."""
    before = _ticks()
    time.sleep(LOOK_S)
    after = _ticks()
    idle, total = (after[i] - before[i] for i in (0, 1))
    return 1 - idle / max(total, 1)


def _ticks() -> tuple[int, int]:
    values = [int(word) for word in _text("stat").splitlines()[0].split()[1:9]]
    return values[3] + values[4], sum(values)


def _text(name: str) -> str:
    return (PROC / name).read_text(encoding="utf-8")


@dataclass
class Memory:
    """Follows the resident memory of a process and of everything below it.

    Attributes:
        own_mib: The most that the process itself ever had.
        tree_mib: The most that it and its children had at one moment.
    """

    pid: int
    own_mib: float = 0.0
    tree_mib: float = 0.0
    _end: Event = field(default_factory=Event)
    _thread: Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._follow, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(SAMPLE_S):
            sizes = _sizes(self.pid)
            self.own_mib = max(self.own_mib, sizes.get(self.pid, 0.0))
            self.tree_mib = max(self.tree_mib, sum(sizes.values()))


def _sizes(root: int) -> dict[int, float]:
    """Return the resident MiB of a process and its descendants."""
    parents: dict[int, int] = {}
    resident: dict[int, float] = {}
    page_mib = os.sysconf("SC_PAGE_SIZE") / 1024**2
    for folder in PROC.iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            # The name, in parentheses, may hold anything.
            words = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            continue
        parents[int(folder.name)] = int(words[1])
        resident[int(folder.name)] = int(words[21]) * page_mib
    return {pid: size for pid, size in resident.items() if _is_below(pid, root, parents)}


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid and pid != root:
        pid = parents.get(pid, 0)
    return pid == root
