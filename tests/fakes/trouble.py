"""What may go wrong between a client and a registry; both kinds of registry can have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock


@dataclass(frozen=True)
class Trouble:
    """Happens once, to the first request that fits.

    Attributes:
        method: Of the request.
        fragment: Of its address.
        status: What is answered instead; nothing at all if 0 and `cut` is not given.
        cut: After how many bytes, of the body that is sent or that is answered, the line breaks.
    """

    method: str
    fragment: str
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = -1


class Troubles:
    """Those to come."""

    def __init__(self) -> None:
        self._waiting: list[Trouble] = []
        self._lock = Lock()

    def add(self, *troubles: Trouble) -> None:
        with self._lock:
            self._waiting += troubles

    @property
    def left(self) -> int:
        return len(self._waiting)

    def for_request(self, method: str, url: str) -> Trouble | None:
        """Take the one that fits a request."""
        with self._lock:
            for trouble in self._waiting:
                if trouble.method == method and trouble.fragment in url:
                    self._waiting.remove(trouble)
                    return trouble
        return None
