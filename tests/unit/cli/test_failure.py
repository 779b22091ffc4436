"""Tracebacks tell where, and of texts only those that hold no value."""

from __future__ import annotations

from cto.cli.failure import failure_of, trace_of
from cto.errors import Cancelled, ConfigError


def caught() -> BaseException:
    """A chain: a text that could be secret, one that could not, one that hides its past."""
    try:
        try:
            int("hunter2")
        except ValueError as error:
            text = "no attribute 'x'"
            raise AttributeError(text) from error
    except AttributeError as error:
        return error
    raise AssertionError


def test_causes_come_first_and_secrets_not_at_all() -> None:
    trace = trace_of(caught())
    assert "hunter2" not in trace.replace('int("hunter2")', "")
    first, second = trace.index("ValueError (text withheld)"), trace.index("AttributeError: no")
    assert first < second


def test_a_cause_that_was_cut_off_is_not_shown() -> None:
    error = ConfigError("CTO-1300", "wrong")
    error.__context__ = ValueError("x")
    error.__suppress_context__ = True
    assert trace_of(error) == "Traceback (most recent call last):\ncto.errors.ConfigError: wrong"


def test_our_own_line_is_named_wherever_the_error_came_from() -> None:
    assert failure_of(caught()).message == "Unexpected AttributeError"


def test_a_stop_without_an_error_is_an_interrupt() -> None:
    stopped = Cancelled()
    stopped.__cause__ = Cancelled()
    assert failure_of(stopped).exit_code == 130
