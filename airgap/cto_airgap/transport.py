"""What a registry client needs from outside: something that carries requests.

`cto_airgap.web` implements it over HTTP; `tests/fakes/registry.py` is a registry in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Piece:
    """A piece of a file, as the body of a request; it is never in memory as a whole."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request. Its headers and its body may hold a secret, and are not shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | Piece = field(default=b"", repr=False)


class Answer(Protocol):
    """An answer, whose body comes in pieces, or not at all."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers; their names are in lower case."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """Yield the body as it comes.

        Raises:
            NoAnswerError: The connection broke.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; what was not read is lost."""
        ...


class NoAnswerError(Exception):
    """There was no answer, or it broke off.

    Attributes:
        again: Whether the same request may work in a moment.
        hint: What to do about it; the error's own fix when empty.
    """

    def __init__(self, text: str, *, again: bool, hint: str = "") -> None:
        super().__init__(text)
        self.again = again
        self.hint = hint


class Transport(Protocol):
    """Carries requests. May be called by several threads; follows no redirects."""

    def send(self, request: Request) -> Answer:
        """Send a request and return what was answered, whatever its status.

        Raises:
            NoAnswerError: Nothing was.
        """
        ...
