"""A reader who has gone ends nothing."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from cto.cli.streams import SafeStream, reserve


class Failing(io.StringIO):
    """A stream whose writes fail with an error number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.attempts = 0

    def write(self, text: str) -> int:
        self.attempts += 1
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("talk", [True, False])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_once_the_reader_has_gone_nothing_is_tried_any_more(number: int, *, talk: bool) -> None:
    stream = Failing(number)
    outlet = SafeStream(stream, talk=talk)
    outlet.line("one")
    outlet.line("two")
    assert stream.attempts == 1
    assert not outlet.isatty()


def test_a_full_disk_is_an_error_for_data() -> None:
    with pytest.raises(OSError, match="No space"):
        SafeStream(Failing(errno.ENOSPC), talk=False).line("data")


def test_a_full_disk_is_none_for_talk() -> None:
    stream = Failing(errno.ENOSPC)
    SafeStream(stream, talk=True).line("talk")
    assert stream.attempts == 1


def test_a_reader_who_is_slow_costs_only_the_line() -> None:
    stream = Failing(errno.EAGAIN)
    outlet = SafeStream(stream, talk=True)
    outlet.line("one")
    outlet.line("two")
    assert stream.attempts == 2


def test_a_closed_stream_takes_text() -> None:
    stream = io.StringIO()
    stream.close()
    outlet = SafeStream(stream, talk=False)
    assert not outlet.isatty()
    assert outlet.write("text") == 4


def test_a_missing_stream_takes_text() -> None:
    outlet = SafeStream(None, talk=False)
    outlet.line("text")
    assert (outlet.isatty(), outlet.encoding) == (False, "utf-8")
    with pytest.raises(OSError, match="Bad file descriptor"):
        outlet.fileno()


def test_what_an_encoding_lacks_is_replaced() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    SafeStream(stream, talk=False).line("✓ done")
    assert raw.getvalue() == b"? done\n"


def test_a_broken_pipe_is_replaced_by_nowhere() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        outlet = SafeStream(stream, talk=False)
        assert outlet.fileno() == writer
        outlet.line("lost")
        stream.write("what others write, and Python flushes at its end")
        stream.flush()
        outlet.line("not even tried")
        assert os.fstat(writer).st_rdev == Path(os.devnull).stat().st_rdev


def test_a_slow_reader_of_data_is_an_error() -> None:
    with pytest.raises(BlockingIOError):
        SafeStream(Failing(errno.EAGAIN), talk=False).line("data")


def test_a_closed_number_is_reserved() -> None:
    kept = os.dup(0)
    os.close(0)
    try:
        reserve()
        assert os.fstat(0).st_rdev == Path(os.devnull).stat().st_rdev
    finally:
        os.dup2(kept, 0)
        os.close(kept)
