"""When something that broke is tried again, as data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of HTTP after which the same request may be answered in a moment."""


@dataclass(frozen=True)
class Backoff:
    """How often something is tried, and how long the pauses between are.

    Attributes:
        first_s: The first pause.
        longest_s: Each pause is longer than the one before, up to this.
        attempts: In all.
        factor: How much longer.
    """

    first_s: float
    longest_s: float
    attempts: int = 1
    factor: float = 2.0

    def pause_s(self, attempt: int) -> float:
        """Return the pause after an attempt; the first is 0."""
        # Whoever tries for days must not come to numbers that no float can be.
        return min(self.first_s * self.factor ** min(attempt, 64), self.longest_s)

    def pauses_s(self) -> Iterator[float]:
        """Yield the pause after each attempt; after the last it is without end."""
        yield from map(self.pause_s, range(self.attempts - 1))
        yield inf
