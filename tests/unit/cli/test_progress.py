"""Text of durations, and of programs that write for terminals."""

from __future__ import annotations

import pytest

from cto.cli.progress import clean, duration, stopwatch


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "  0:00"), (65.9, "  1:05"), (6000, "100:00")])
def test_the_stopwatch_keeps_its_width(seconds: float, text: str) -> None:
    assert stopwatch(seconds) == text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("one\r\ntwo\tthree\x00", "one\ntwo three"),
        ("back\rwards", "back wards"),
        ("\x9b2Jgone", "2Jgone"),
    ],
)
def test_what_steers_a_terminal_is_taken_out(raw: str, shown: str) -> None:
    assert clean(raw) == shown
