"""A machine without processes: tests write its /proc, and killing takes a process out of it."""

from __future__ import annotations

import shutil
from pathlib import Path

from cto.adapters.host import Host


class FakeMachine:
    """A root folder for `adapters.host.Host`.

    Attributes:
        killed: (pid, signal) of every signal that was sent.
        host: The machine as the installer sees it.
    """

    def __init__(self, root: Path, *, immortal: frozenset[int] = frozenset()) -> None:
        self.root = root
        self.killed: list[tuple[int, int]] = []
        self._immortal = immortal
        self._ticks = 1000
        (root / "proc/sys/kernel/random").mkdir(parents=True, exist_ok=True)
        (root / "proc/sys/kernel/random/boot_id").write_text("boot-1\n")
        (root / "proc/self/ns").mkdir(parents=True, exist_ok=True)
        if not (root / "proc/self/ns/pid").is_symlink():
            (root / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
        self.host = Host(root, self._kill)
        self.start(self.host.pid, "python")

    def start(self, pid: int, *argv: str, state: str = "S") -> str:
        """Add a process; return when it was started."""
        self._ticks += 1
        folder = self.root / "proc" / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in argv))
        zeros = " ".join(["0"] * 18)
        (folder / "stat").write_text(f"{pid} (a ) b) {state} {zeros} {self._ticks} 0\n")
        return str(self._ticks)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.root / "proc" / str(pid))

    def reboot(self) -> None:
        """End every process but this one; the boot has another id."""
        for folder in (self.root / "proc").iterdir():
            if folder.name.isdecimal() and folder.name != str(self.host.pid):
                shutil.rmtree(folder)
        (self.root / "proc/sys/kernel/random/boot_id").write_text("boot-2\n")

    def change_pid_namespace(self, name: str = "pid:[4026532222]") -> None:
        """See processes as from another container."""
        link = self.root / "proc/self/ns/pid"
        link.unlink()
        link.symlink_to(name)

    def pids(self) -> set[int]:
        names = (folder.name for folder in (self.root / "proc").iterdir())
        return {int(name) for name in names if name.isdecimal()} - {self.host.pid}

    def _kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))
        if pid not in self._immortal:
            self.end(pid)
