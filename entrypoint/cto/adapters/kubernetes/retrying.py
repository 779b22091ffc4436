"""When a request to the API server is sent again, and when not. The only place that decides."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event as Flag

from cto.adapters.kubernetes import errors as api_errors
from cto.adapters.kubernetes.connection import ApiAnswer, Connection, NoAnswerError, Request
from cto.ports import Clock

# PATCH is only ever a server-side apply here, DELETE names its object.
IDEMPOTENT = frozenset({"GET", "PATCH", "DELETE"})
_ATTEMPTS = 5
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
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
        for attempt in range(_ATTEMPTS):
            last = attempt == _ATTEMPTS - 1
            try:
                answer = self._connection.send(request)
            except NoAnswerError as error:
                pause = _pause(attempt, {})
                if last or not _may_repeat(request, error) or self._over(end, pause):
                    raise
                repeated = repeated or error.sent
            else:
                pause = _pause(attempt, answer.headers)
                if last or not _worth_repeating(request, answer) or self._over(end, pause):
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


def _pause(attempt: int, headers: Mapping[str, str]) -> float:
    asked = headers.get("Retry-After", "")
    pause = float(asked) if str(asked).isdigit() else _FIRST_PAUSE_S * 2.0**attempt
    return min(pause, _LONGEST_PAUSE_S)
