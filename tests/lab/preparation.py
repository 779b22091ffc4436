"""What a preparation has to bring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Task:
    """One thing to bring, with what it costs, so that it can be announced before it begins."""

    what: str
    seconds: int
    peak_mib: int
    kept_mib: int
    run: Callable[[], object]
