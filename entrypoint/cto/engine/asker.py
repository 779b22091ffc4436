"""Requests that are carried out in the background, so that whoever asks need not wait."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeAlias

from cto.ports import Clock

# Enough for every failing container of a platform; older answers are asked for again.
_KEPT = 512
_CLOSE_S = 0.5

Question: TypeAlias = Callable[[], Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a question.

    Attributes:
        value: The answer, None if there is an error.
        error: What the question raised.
        at: When the asking began, on the monotonic clock.
    """

    value: Any
    error: Exception | None
    at: float


class Asker:
    """Answers questions one after another in one daemon thread, begun by the first one."""

    def __init__(self, name: str, clock: Clock, on_answer: Callable[[], None]) -> None:
        self._name = name
        self._clock = clock
        self._on_answer = on_answer
        self._lock = Lock()
        self._queue: SimpleQueue[tuple[Hashable, Question] | None] = SimpleQueue()
        self._pending: dict[Hashable, float] = {}
        self._answers: dict[Hashable, Answer] = {}
        self._thread: Thread | None = None
        self._closed = False

    def ask(
        self,
        key: Hashable,
        question: Question,
        *,
        not_before: float = 0.0,
        fresh_s: float = float("inf"),
    ) -> Answer | None:
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

    def known(self, key: Hashable) -> Answer | None:
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

    def _enqueue(self, key: Hashable, question: Question) -> None:
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

    def _answer(self, question: Question) -> Answer:
        at = self._clock.monotonic()
        try:
            return Answer(question(), None, at)
        except Exception as error:  # noqa: BLE001 - handed to whoever asked
            return Answer(None, error, at)
