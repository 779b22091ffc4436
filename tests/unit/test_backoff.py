"""Pauses between attempts."""

from __future__ import annotations

from math import inf

from cto.backoff import Backoff


def test_pauses_grow_up_to_a_limit_and_there_is_none_after_the_last_attempt() -> None:
    assert list(Backoff(1.0, 5.0, attempts=5).pauses_s()) == [1.0, 2.0, 4.0, 5.0, inf]
    assert list(Backoff(1.0, 3.0, attempts=3, factor=3.0).pauses_s()) == [1.0, 3.0, inf]
    assert list(Backoff(1.0, 5.0).pauses_s()) == [inf]


def test_what_is_tried_without_end_has_pauses_by_number() -> None:
    assert Backoff(0.2, 5.0).pause_s(100_000) == 5.0
    assert [Backoff(10.0, 300.0).pause_s(count) for count in (0, 1, 4, 5, 9)] == [
        10,
        20,
        160,
        300,
        300,
    ]
