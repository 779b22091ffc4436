"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from threading import Event as Flag


class SystemClock:
    """Implements `ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(tz=UTC)

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        return flag.wait(max(timeout_s, 0.0))
