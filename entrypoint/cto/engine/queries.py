"""Requests that are carried out in the background, so that whoever asks need not wait."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias

from cto.engine.cache import Group
from cto.errors import ApiError
from cto.ports import Clock, Cluster

# Enough for every failing container of a platform; older answers are asked for again.
_KEPT = 512
_CLOSE_S = 0.5

Query: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class QueryAnswer:
    """What came of a question.

    Attributes:
        value: The answer, None if there is an error.
        error: What the question raised.
        at: When the asking began, on the monotonic clock.
    """

    value: Any
    error: Exception | None
    at: float


class Queries:
    """Answers questions one after another in one daemon thread, begun by the first one."""

    def __init__(self, name: str, clock: Clock, on_answer: Callable[[], None]) -> None:
        self._name = name
        self._clock = clock
        self._on_answer = on_answer
        self._lock = Lock()
        self._queue: SimpleQueue[tuple[Hashable, Query] | None] = SimpleQueue()
        self._pending: dict[Hashable, float] = {}
        self._answers: dict[Hashable, QueryAnswer] = {}
        self._thread: Thread | None = None
        self._closed = False

    def ask(
        self,
        key: Hashable,
        question: Query,
        *,
        not_before: float = 0.0,
        fresh_s: float = float("inf"),
    ) -> QueryAnswer | None:
        """Return the answer that is known, and have it renewed if it is missing or old.

        Args:
            key: Names the question.
            question: Does the asking, in another thread.
            not_before: An answer from before this moment does not count.
            fresh_s: An older answer is returned, and renewed meanwhile.
        """
        with self._lock:
            answer = self._answers.get(key)
            if answer is not None and answer.at < not_before:
                answer = None
            if answer is None or self._clock.monotonic() - answer.at >= fresh_s:
                self._enqueue(key, question)
            return answer

    def known(self, key: Hashable) -> QueryAnswer | None:
        """Return the answer that is there, without asking."""
        with self._lock:
            return self._answers.get(key)

    def pending_s(self, key: Hashable) -> float:
        """Return for how long a question has been without an answer; 0 if it is not asked."""
        with self._lock:
            asked = self._pending.get(key)
            return 0.0 if asked is None else self._clock.monotonic() - asked

    def close(self) -> None:
        with self._lock:
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread:
            thread.join(_CLOSE_S)

    def _enqueue(self, key: Hashable, question: Query) -> None:
        if key in self._pending or self._closed:
            return
        self._pending[key] = self._clock.monotonic()
        self._queue.put((key, question))
        if self._thread is None:
            self._thread = Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (item := self._queue.get()) and not self._closed:
            key, question = item
            answer = self._answer(question)
            with self._lock:
                self._pending.pop(key, None)
                self._answers.pop(key, None)
                self._answers[key] = answer
                while len(self._answers) > _KEPT:
                    del self._answers[next(iter(self._answers))]
            self._on_answer()

    def _answer(self, question: Query) -> QueryAnswer:
        at = self._clock.monotonic()
        try:
            return QueryAnswer(question(), None, at)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            return QueryAnswer(None, error, at)


def heals(error: Exception) -> bool:
    """Return whether the same request may succeed later, with nothing changed but time."""
    return isinstance(error, ApiError) and (
        error.is_silence or error.status == 429 or error.status >= 500
    )


def unreachable(seconds: float) -> str:
    """Say that the API server is silent; in steps, so that not every second is news."""
    tens = int(seconds // 10) * 10
    return f"the API server has not answered for {f'{tens} s' if tens else 'a few seconds'}"


def checked(answer: QueryAnswer | None) -> QueryAnswer | None:
    """Return an answer that is there, or that could not be had because nobody answered.

    Raises:
        ApiError: The API server refused.
    """
    error = answer.error if answer else None
    if error is not None and not heals(error):
        raise error
    return answer


def names_of(cluster: Cluster, group: Group) -> Query:
    """Return what asks for the names of what there is."""
    items = items_of(cluster, group, full=False)
    return lambda: frozenset(item["metadata"]["name"] for item in items())


def items_of(cluster: Cluster, group: Group, *, full: bool) -> Query:
    """Return what asks for all objects of a group, or (not `full`) for their metadata."""
    api_version, kind, namespace = group
    ask = cluster.list if full else cluster.list_metadata
    return lambda: ask(api_version, kind, namespace=namespace)


def served_by(cluster: Cluster) -> Query:
    """Return what asks for the names of the definitions whose kinds the API server serves."""
    return lambda: frozenset(
        f"{kind.plural}.{kind.api_version.rpartition('/')[0]}" for kind in cluster.kinds(fresh=True)
    )


def silence(answers: Iterable[QueryAnswer | None], now: float) -> str:
    """Say that some answers could not be had; '' if all could."""
    silent = [answer.at for answer in answers if answer and answer.error]
    return unreachable(now - min(silent)) if silent else ""
