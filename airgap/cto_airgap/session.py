"""Requests to registries: authorized, redirected, repeated where that may help, and patient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isinf
from threading import Event as Flag
from threading import Lock
from typing import TypeVar
from urllib.parse import urljoin, urlsplit

from cto.backoff import TRANSIENT, Backoff
from cto.errors import Cancelled
from cto.ports import Clock
from cto_airgap.auth import Authorizer, Scopes
from cto_airgap.logins import Logins
from cto_airgap.reference import Endpoint
from cto_airgap.web import HttpAnswer, HttpRequest, Transport, TransportError

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_BACKOFF = Backoff(1.0, 30.0, attempts=6)
# A host that is not there should not hold up the next one for long.
_SILENT_ATTEMPTS = 4
# Whoever asks for more is not waited for: a person has to know.
_LONGEST_ASKED_S = 300.0
_LARGEST_BODY = 8 << 20

T = TypeVar("T")


class Session:
    """Sends requests to registries. May be used by several threads.

    Args:
        transport: Carries them.
        logins: Tells who to be.
        clock: Waits between attempts.
        stop: As soon as it is set, every call raises Cancelled.
    """

    def __init__(self, transport: Transport, logins: Logins, clock: Clock, stop: Flag) -> None:
        self._transport = transport
        self._clock = clock
        self._stop = stop
        self._authorizer = Authorizer(logins, self._fetch, clock)
        self._lock = Lock()
        # Host -> when it may be asked again: it said so to one thread, and means all.
        self._closed_until: dict[str, float] = {}

    def send(self, endpoint: Endpoint, request: HttpRequest, scopes: Scopes) -> HttpAnswer:
        """Send a request that may be repeated; return the answer, whatever its status.

        Raises:
            TransportError: There was none, several times.
            ToolError: The token server refuses.
            Cancelled: The run is stopping.
        """
        return self._patiently(lambda: self.once(endpoint, request, scopes), request.url)

    def once(self, endpoint: Endpoint, request: HttpRequest, scopes: Scopes) -> HttpAnswer:
        """Send a request once; a second time only if the registry wants to know who asks.

        Raises:
            TransportError: There was no answer.
            ToolError: The token server refuses.
            Cancelled: The run is stopping.
        """
        self._wait_for(request.url)
        sent = self._authorizer.header(endpoint, scopes)
        answer = self._redirected(endpoint, request, sent)
        if answer.status == 401:
            asked = answer.headers.get("www-authenticate", "")
            if self._authorizer.challenged(endpoint, scopes, asked, sent):
                answer.close()
                again = self._authorizer.header(endpoint, scopes)
                answer = self._redirected(endpoint, request, again)
        return answer

    def pause(self, attempt: int) -> None:
        """Wait before another attempt of something that broke.

        Raises:
            Cancelled: The run is stopping.
        """
        self._wait(_BACKOFF.pause_s(attempt))

    def repeated(self, action: Callable[[], T], attempts: int) -> T:
        """Return what an action of several requests returns; begin it again where it breaks.

        Raises:
            TransportError: It broke each time, or for good.
            Cancelled: The run is stopping.
        """
        for pause in replace(_BACKOFF, attempts=attempts).pauses_s():
            try:
                return action()
            except TransportError as error:
                if isinf(pause) or not error.again:
                    raise
            self._wait(pause)
        raise AssertionError  # the last attempt returns or raises

    def pieces(self, answer: HttpAnswer) -> Iterator[bytes]:
        """Yield the body of an answer, and close it.

        Raises:
            TransportError: It broke off.
            Cancelled: The run is stopping.
        """
        try:
            for piece in answer.pieces():
                if self._stop.is_set():
                    raise Cancelled
                yield piece
        finally:
            answer.close()

    def body(self, answer: HttpAnswer, largest: int = _LARGEST_BODY) -> bytes:
        """Return the body of an answer, and close it; what is too long is cut off.

        Raises:
            TransportError: It broke off.
            Cancelled: The run is stopping.
        """
        found = bytearray()
        for piece in self.pieces(answer):
            found += piece
            if len(found) > largest:
                break
        answer.close()
        return bytes(found[: largest + 1])

    def _fetch(self, request: HttpRequest) -> tuple[int, bytes]:
        answer = self._patiently(lambda: self._transport.send(request), request.url)
        return answer.status, self.body(answer)

    def _patiently(self, send: Callable[[], HttpAnswer], url: str) -> HttpAnswer:
        for attempt, usual in enumerate(_BACKOFF.pauses_s()):
            pause = usual
            try:
                answer = send()
            except TransportError as error:
                if attempt == _SILENT_ATTEMPTS - 1 or not error.again:
                    raise
            else:
                asked = _retry_after(answer, self._clock)
                if isinf(usual) or answer.status not in TRANSIENT or asked > _LONGEST_ASKED_S:
                    return answer
                answer.close()
                if answer.status == 429 and asked:
                    self._close_until(url, asked)
                pause = max(usual, asked)
            self._wait(pause)
        raise AssertionError  # the last attempt returns or raises

    def _redirected(
        self, endpoint: Endpoint, request: HttpRequest, authorization: str
    ) -> HttpAnswer:
        current = request
        for _ in range(_MOST_REDIRECTS + 1):
            headers = dict(current.headers)
            # Whoever keeps the bytes for a registry must not get its tokens.
            if authorization and _origin(current.url) == endpoint.origin:
                headers["Authorization"] = authorization
            answer = self._transport.send(replace(current, headers=headers))
            target = answer.headers.get("location", "")
            if answer.status not in _REDIRECTS or not target:
                return answer
            answer.close()
            url = urljoin(current.url, target)
            if _scheme(current.url) == "https" and _scheme(url) != "https":
                text = f"{_origin(current.url)} redirects to an address without TLS"
                raise TransportError(text, again=False)
            current = replace(current, url=url)
        text = f"{endpoint.origin} redirects without end"
        raise TransportError(text, again=False)

    def _close_until(self, url: str, seconds: float) -> None:
        with self._lock:
            self._closed_until[_origin(url)] = self._clock.monotonic() + seconds

    def _wait_for(self, url: str) -> None:
        with self._lock:
            left = self._closed_until.get(_origin(url), 0.0) - self._clock.monotonic()
        self._wait(left)

    def _wait(self, seconds: float) -> None:
        if self._stop.is_set() or (seconds > 0 and self._clock.wait(self._stop, seconds)):
            raise Cancelled


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _scheme(url: str) -> str:
    return urlsplit(url).scheme


def _retry_after(answer: HttpAnswer, clock: Clock) -> float:
    """Return for how many seconds an answer asks: it says seconds, or a date."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max((then - clock.now()).total_seconds(), 0.0)
