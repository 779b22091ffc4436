"""Carries requests over HTTP, for whoever speaks with registries.

`tests/fakes/registry.py` is a registry in memory, behind the same protocol.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import requests

from cto.network import trust, web

_PIECE = 1 << 18


@dataclass(frozen=True)
class FilePiece:
    """A piece of a file, as the body of a request; it is never in memory as a whole."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """A request. Its headers and its body may hold a secret, and are not shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | FilePiece = field(default=b"", repr=False)


class HttpAnswer(Protocol):
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
            TransportError: The connection broke.
        """
        ...

    def close(self) -> None:
        """Let go of the connection; what was not read is lost."""
        ...


class TransportError(Exception):
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

    def send(self, request: HttpRequest) -> HttpAnswer:
        """Send a request and return what was answered, whatever its status.

        Raises:
            TransportError: Nothing was.
        """
        ...


class WebTransport:
    """Implements `Transport`. TLS is verified, always.

    Args:
        ca_file: Certificates to trust besides the usual ones.
        user_agent: How to introduce oneself.
        environ: Says which proxies and certificates there are.
        log: Gets a line about each request.

    Raises:
        ConfigError: CTO-1360, certificates cannot be used. `send` raises it for proxies.
    """

    def __init__(
        self,
        *,
        ca_file: Path | None = None,
        user_agent: str = "cto",
        environ: Mapping[str, str] = os.environ,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._user_agent = user_agent
        verified = trust.context(environ, ca_file=ca_file)
        self._session = web.session(environ, verified=verified, log=log)

    def send(self, request: HttpRequest) -> WebAnswer:
        # Layers are compressed already, and their digests are of the bytes as they are.
        headers = {"Accept-Encoding": "identity", "User-Agent": self._user_agent, **request.headers}
        try:
            with _opened(request.body) as data:
                response = self._session.request(
                    request.method,
                    request.url,
                    headers=headers,
                    data=data,
                    stream=True,
                    timeout=web.TIMEOUTS_S,
                    allow_redirects=False,
                    auth=_as_it_is,
                )
        except requests.RequestException as error:
            raise _no_answer(error) from None
        return WebAnswer(response)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class WebAnswer:
    """Implements `HttpAnswer`."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.headers.items()}
        # Some servers call a layer "encoded", and it would be unpacked on the way.
        response.raw.headers.pop("Content-Encoding", None)

    def pieces(self) -> Iterator[bytes]:
        try:
            yield from self._response.iter_content(_PIECE)
        except requests.RequestException as error:
            raise _no_answer(error) from None

    def close(self) -> None:
        self._response.close()


class _File:
    """A piece of a file for `requests`, which asks for its length and reads it block by block."""

    def __init__(self, file: BinaryIO, piece: FilePiece) -> None:
        self._file = file
        self._file.seek(piece.start)
        self._left = piece.size

    def __len__(self) -> int:
        return self._left

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_PIECE):
            yield data

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


@contextmanager
def _opened(body: bytes | FilePiece) -> Iterator[Any]:
    if isinstance(body, bytes):
        yield body
        return
    with body.path.open("rb") as file:
        yield _File(file, body)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep `requests` from taking passwords out of addresses, e.g. that of a token server."""
    return request


def _no_answer(error: requests.RequestException) -> TransportError:
    hint = str(error) if isinstance(error, web.ProxyRefusedError) else ""
    return TransportError(web.reason(error), again=web.may_heal(error), hint=hint)
