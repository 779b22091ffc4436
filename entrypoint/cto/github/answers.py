"""What GitHub said, and that it did not do what it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from cto.errors import ToolError

_T = TypeVar("_T")

SILENT, REFUSED, LIMITED = "CTO-1580", "CTO-1581", "CTO-1582"


def lag_s(date: str, now: datetime) -> float | None:
    """Return how far a clock is behind GitHub's, by the header Date of an answer.

    None if that is no date. What is negative is ahead.
    """
    try:
        return (parsedate_to_datetime(date).astimezone(UTC) - now).total_seconds()
    except ValueError:
        return None


def lag_told(lag_s: float) -> str:
    """Say it, as the end of a sentence."""
    return f"{abs(lag_s):.0f} s {'behind' if lag_s > 0 else 'ahead of'} GitHub's"


class GitHubError(ToolError):
    """GitHub did not do what it was asked for.

    Attributes:
        status: The HTTP status, 0 if there was no answer, or none of GitHub's.
        help: What would help, as the end of a sentence; may be empty.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 0, help_: str = "", details: str = ""
    ) -> None:
        hint = f"{help_[0].upper()}{help_[1:]}." if help_ else ""
        super().__init__(code, message, hint=hint, details=details)
        self.status = status
        self.help = help_

    @property
    def is_absence(self) -> bool:
        return self.status == 404

    @property
    def text(self) -> str:
        """Message and help in one line."""
        return f"{self.message}; {self.help}" if self.help else self.message


@dataclass(frozen=True)
class Answer:
    """What GitHub said. Read it with `of`: what is no GitHub answers something else."""

    status: int
    data: Any
    api: str
    following: str = ""
    etag: str = ""

    def of(self, name: str, kind: type[_T]) -> _T:
        """Return a field.

        Raises:
            GitHubError: It is not there, or is something else.
        """
        value = self.data.get(name) if isinstance(self.data, Mapping) else None
        if not isinstance(value, kind):
            raise self.strange()
        return value

    def strange(self) -> GitHubError:
        """Return the error of an answer that GitHub does not give."""
        text = f"{self.api} answered something else than GitHub does"
        return GitHubError(SILENT, text, help_="is it its API?")
