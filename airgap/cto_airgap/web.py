"""Carries requests over HTTP. The only place that knows `requests`."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import requests
from requests.adapters import HTTPAdapter

from cto.errors import ConfigError
from cto_airgap.transport import NoAnswerError, Piece, Request

_TIMEOUTS_S = (10.0, 60.0)
_PIECE = 1 << 18
_CONNECTIONS = 16
_BROKEN = (requests.exceptions.ChunkedEncodingError, requests.Timeout)


class WebTransport:
    """Implements `Transport`. TLS is verified, always; proxies are those of the environment.

    Args:
        ca_file: Certificates to trust besides the usual ones.
        user_agent: How to introduce oneself.

    Raises:
        ConfigError: CTO-1300, the file holds no certificates.
    """

    def __init__(self, *, ca_file: Path | None = None, user_agent: str = "cto") -> None:
        self._user_agent = user_agent
        self._session = requests.Session()
        self._session.mount("https://", _Adapter(context=_context(ca_file)))
        self._session.mount("http://", _Adapter(context=None))
        # Cookies are the only state of a session that threads would contend for.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def send(self, request: Request) -> WebAnswer:
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
                    timeout=_TIMEOUTS_S,
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
    """Implements `Answer`."""

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


class _Adapter(HTTPAdapter):
    """Keeps a connection per thread, and gives all of them, proxied or not, the same trust."""

    def __init__(self, *, context: ssl.SSLContext | None) -> None:
        self._trust: dict[str, Any] = {"ssl_context": context} if context else {}
        super().__init__(pool_maxsize=_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **{**kwargs, **self._trust})

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        return super().proxy_manager_for(*args, **{**kwargs, **self._trust})


class _File:
    """A piece of a file for `requests`, which asks for its length and reads it block by block."""

    def __init__(self, file: BinaryIO, piece: Piece) -> None:
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
def _opened(body: bytes | Piece) -> Iterator[Any]:
    if isinstance(body, bytes):
        yield body
        return
    with body.path.open("rb") as file:
        yield _File(file, body)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            text = f"{ca_file} holds no certificates to trust"
            raise ConfigError("CTO-1300", text, details=str(error)) from error
    return context


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep `requests` from taking passwords out of ~/.netrc."""
    return request


def _no_answer(error: requests.RequestException) -> NoAnswerError:
    again = isinstance(error, _BROKEN) or type(error) is requests.ConnectionError
    return NoAnswerError(_reason(error), again=again)


def _reason(error: Exception) -> str:
    """Return the innermost cause: what is around it repeats the address, signatures included."""
    chain: list[BaseException] = [error]
    while (inner := _inner(chain[-1])) and inner not in chain:
        chain.append(inner)
    return f"{type(error).__name__}: {chain[-1]}"[:200]


def _inner(error: BaseException) -> BaseException | None:
    places = (getattr(error, "reason", None), *error.args, error.__cause__, error.__context__)
    return next((item for item in places if isinstance(item, BaseException)), None)
