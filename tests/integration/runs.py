"""A command that runs while a test does something to its cluster: what it said, and when."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from threading import Thread

import pytest

CORES = os.cpu_count() or 1
TOLD_WITHIN_S = 5.0


class Run:
    """A command, and when it said what.

    Attributes:
        status: What `cto status` said meanwhile.
    """

    status = ""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.load = os.getloadavg()[0]
        self.lines: list[tuple[float, str]] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def told(self, *words: str, timeout_s: float = 90) -> float:
        """Return when a line with all these words came; wait for it."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            for at, line in tuple(self.lines):
                if all(word in line for word in words):
                    return at
            if self.process.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.05)
        pytest.fail(f"no line has {words}\n{self.text}")

    def is_within(self, begun: float, told: float) -> bool:
        """Return whether it was quick, for a machine with so much else to do."""
        load = max(self.load, os.getloadavg()[0])
        return told - begun <= TOLD_WITHIN_S * max(1.0, load / CORES)

    def ended(self, timeout_s: float = 120) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(30)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        return code

    def interrupted(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    @property
    def text(self) -> str:
        return "\n".join(line for _, line in self.lines)
