"""Since when something is wrong, and whether that is too long."""

from __future__ import annotations

from collections.abc import Iterable

from cto.engine.causes import Cause
from cto.objects import ObjectRef
from cto.ports import Clock

# A cause that is away for less than this goes on counting: crashing programs run in between.
_LINGER_S = 15.0


class Timers:
    """Since when each cause has lasted, on the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, ObjectRef], tuple[float, float, float]] = {}

    def expired(self, causes: Iterable[Cause]) -> Cause | None:
        """Note that these causes are there now; return the first that was for too long."""
        now = self._clock.monotonic()
        result = None
        for cause in causes:
            key = cause.row, cause.root
            first, last, patience_s = self._seen.get(key, (now, now, cause.patience_s))
            if now - last > _LINGER_S:
                first, patience_s = now, cause.patience_s
            # The patience of the first sight counts: objects grow old while we look at them.
            self._seen[key] = first, now, patience_s
            if result is None and now - first >= patience_s:
                result = cause
        return result
