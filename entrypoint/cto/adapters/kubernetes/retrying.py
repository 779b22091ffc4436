"""When a request to the API server is sent again, and when not. The only place that decides."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from threading import Event as Flag

from cto.adapters.kubernetes import errors as api_errors
from cto.adapters.kubernetes.connection import ApiAnswer, Connection, NoAnswerError, Request
from cto.backoff import Backoff
from cto.ports import Clock

# PATCH is only ever a server-side apply here, DELETE names its object.
IDEMPOTENT = frozenset({"GET", "PATCH", "DELETE"})
_BACKOFF = Backoff(0.25, 5.0, attempts=5)
_IN_ALL_S = 25.0


class Retrying:
    """Sends requests; repeats what may be repeated."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._closed = Flag()

    def send(self, request: Request) -> tuple[ApiAnswer, bool]:
        """Return the answer, and whether the server may have got the request before.

        Raises:
            NoAnswerError: The last attempt got no answer.
            ApiError: CTO-1602, there are no valid credentials.
        """
        end = self._clock.monotonic() + _IN_ALL_S
        repeated = False
        for usual in _BACKOFF.pauses_s():
            pause = usual
            try:
                answer = self._connection.send(request)
            except NoAnswerError as error:
                if not _may_repeat(request, error) or self._over(end, pause):
                    raise
                repeated = repeated or error.sent
            else:
                pause = _asked(answer.headers, usual)
                if not _worth_repeating(request, answer) or self._over(end, pause):
                    return answer, repeated
                repeated = repeated or answer.status != 429
            if self._clock.wait(self._closed, pause):
                break
        text = "the connection was closed"
        raise NoAnswerError(text, sent=repeated)

    def close(self) -> None:
        self._closed.set()

    def _over(self, end: float, pause: float) -> bool:
        return self._clock.monotonic() + pause > end


def _may_repeat(request: Request, error: NoAnswerError) -> bool:
    return not error.hint and (request.method in IDEMPOTENT or not error.sent)


def _worth_repeating(request: Request, answer: ApiAnswer) -> bool:
    # With 429 the server says that it did nothing yet.
    if answer.status == 429:
        return True
    return request.method in IDEMPOTENT and api_errors.heals(answer.status, answer.body)


def _asked(headers: Mapping[str, str], pause: float) -> float:
    """Return the pause that the server asks for, within limits; where it asks for none, ours."""
    asked = str(headers.get("Retry-After", ""))
    return min(float(asked), _BACKOFF.longest_s) if asked.isdigit() and isfinite(pause) else pause
