"""A clock whose time is set by hand and whose waits are real: for threads that wake each other."""

from __future__ import annotations

from threading import Event as Flag

from fakes.clock import FakeClock


class HandClock(FakeClock):
    """Implements `ports.Clock`. `wait` returns when the flag is set; only `advance` moves time."""

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        return flag.wait(timeout_s)
