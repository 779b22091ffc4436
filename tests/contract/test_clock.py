"""What every Clock does."""

from __future__ import annotations

from datetime import UTC, timedelta
from threading import Event as Flag
from threading import Timer

import pytest

from cto.adapters.clock import SystemClock
from cto.ports import Clock
from fakes.clock import FakeClock


@pytest.fixture(params=[FakeClock, SystemClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_waiting_takes_its_time(clock: Clock) -> None:
    start = clock.monotonic()
    assert not clock.wait(Flag(), 0.0625)
    assert clock.monotonic() - start >= 0.0625


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 60.0])
def test_a_flag_that_is_set_is_seen_at_once(clock: Clock, timeout_s: float) -> None:
    flag = Flag()
    flag.set()
    start = clock.monotonic()
    assert clock.wait(flag, timeout_s)
    assert clock.monotonic() - start < 5


def test_no_time_is_no_wait(clock: Clock) -> None:
    assert not clock.wait(Flag(), 0)
    assert not clock.wait(Flag(), -5)


def test_the_time_of_day_has_a_zone(clock: Clock) -> None:
    assert clock.now().tzinfo is UTC


def test_a_flag_ends_a_wait_early() -> None:
    flag = Flag()
    Timer(0.1, flag.set).start()
    assert SystemClock().wait(flag, 30)


def test_the_fake_does_what_is_due_on_the_way() -> None:
    clock, flag, seen = FakeClock(), Flag(), list[float]()
    start, began = clock.monotonic(), clock.now()
    clock.at(20, lambda: seen.append(clock.monotonic() - start))
    clock.at(20, flag.set)
    clock.at(10, lambda: seen.append(clock.monotonic() - start))
    assert clock.wait(flag, 60)
    assert seen == [10, 20]
    assert clock.now() - began == timedelta(seconds=20)
    assert clock.waits == [60]
