"""Follows the changes of one kind for as long as somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread

from cto.adapters.kubernetes.connection import Connection, NoAnswerError, Request, Stream
from cto.backoff import Backoff
from cto.errors import ApiError
from cto.goyaml import load_json
from cto.objects import Manifest
from cto.ports import Clock, WatchEvent, WatchType

# The server ends a watch after this time, and the next goes on from there. If nothing comes for
# longer, not even a bookmark, nobody is at the other end of the connection any more.
_SERVER_ENDS_S = 50
_SILENCE_S = 70.0
_BACKOFF = Backoff(0.2, 5.0)
# A watch that lived so long was a good one: the next failure is a new one.
_GOOD_S = 5.0
_LOOK_S = 1.0


@dataclass(frozen=True)
class Start:
    """Where a watch begins: the objects there are, and the version of that list."""

    path: str
    items: tuple[Manifest, ...]
    version: str


class _ExpiredError(Exception):
    """There is nothing to go on from: the version is too old, or what came cannot be read."""


class Watch:
    """One watch, over any number of connections.

    Args:
        start: Lists the objects; None as long as the kind does not exist.
        connection: To the API server.
        clock: Waits between attempts.
        what: Names the watch in errors.
    """

    def __init__(
        self, start: Callable[[], Start | None], connection: Connection, clock: Clock, what: str
    ) -> None:
        self._start = start
        self._connection = connection
        self._clock = clock
        self._what = what
        self._version = ""

    def events(self, stop: Flag) -> Iterator[WatchEvent]:
        """Yield a SYNC and every change.

        Raises:
            ApiError: CTO-1602 and what else will not heal by itself.
        """
        failures = 0
        synced = False
        while not stop.is_set():
            began = self._clock.monotonic()
            try:
                beginning = self._start()
                if beginning or not synced:
                    yield WatchEvent(WatchType.SYNC, beginning.items if beginning else ())
                    synced = beginning is None
                if beginning:
                    self._version = beginning.version
                    yield from self._follow(beginning.path, stop)
            except NoAnswerError:
                pass
            except ApiError as error:
                if not _heals(error):
                    raise
            if self._clock.monotonic() - began >= _GOOD_S:
                failures = 0
            self._clock.wait(stop, _BACKOFF.pause_s(failures))
            failures += 1

    def _follow(self, path: str, stop: Flag) -> Iterator[WatchEvent]:
        """Yield changes over one connection after the other, until one breaks or `stop`."""
        while not stop.is_set():
            began = self._clock.monotonic()
            stream = self._connection.stream(self._request(path))
            ended = Flag()
            Thread(target=_stop_when, args=(stop, ended, stream), daemon=True).start()
            try:
                yield from self._changes(stream, stop)
            except _ExpiredError:
                return
            finally:
                ended.set()
                stream.close()
            if self._clock.monotonic() - began < _GOOD_S:
                # A server that ends every watch at once must not be asked without a pause.
                return

    def _changes(self, stream: Stream, stop: Flag) -> Iterator[WatchEvent]:
        rest = b""
        for chunk in stream.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in filter(None, lines):
                event = self._event(line)
                if stop.is_set():
                    return
                if event:
                    yield event

    def _event(self, line: bytes) -> WatchEvent | None:
        try:
            change = load_json(line)
            kind, subject = change["type"], change["object"]
            if kind == "ERROR":
                # Mostly 410: whatever it is, a new list tells more.
                raise _ExpiredError
            self._version = subject["metadata"]["resourceVersion"]
            if kind == "BOOKMARK":
                return None
            subject["metadata"].pop("managedFields", None)
            return WatchEvent(WatchType(kind), (subject,))
        except (ValueError, LookupError, TypeError, AttributeError):
            # Not an API server's words: a proxy's, or nested deeper than anybody reads.
            raise _ExpiredError from None

    def _request(self, path: str) -> Request:
        return Request(
            method="GET",
            path=path,
            what=self._what,
            query={
                "watch": "true",
                "resourceVersion": self._version,
                "allowWatchBookmarks": "true",
                "timeoutSeconds": str(_SERVER_ENDS_S),
            },
            headers={"Accept": "application/json"},
            read_timeout_s=_SILENCE_S,
        )


def _heals(error: ApiError) -> bool:
    return error.status in (0, 404, 410, 429) or error.status >= 500


def _stop_when(stop: Flag, ended: Flag, stream: Stream) -> None:
    """Wake a reader that waits for data: a flag cannot."""
    while not stop.wait(_LOOK_S):
        if ended.is_set():
            return
    stream.stop()
