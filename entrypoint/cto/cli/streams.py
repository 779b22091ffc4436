"""Reads stdin, and writes to stdout and stderr so that a reader who has gone ends no run."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import TextIO

# The reader has gone: of a pipe (EPIPE), of a terminal (EIO).
_GONE = frozenset({errno.EPIPE, errno.EIO})


class SafeStream:
    """A text stream that goes on to nowhere once its reader has gone.

    Args:
        stream: None if the process was started with the stream closed.
        talk: What is written is talk, not data: no failure to write it matters, a full disk
            under a log file included.
        redact: Takes secrets out of what is written.
    """

    def __init__(
        self, stream: TextIO | None, *, talk: bool, redact: Callable[[str], str] = str
    ) -> None:
        self._stream = stream
        self._redact = redact
        self._talk = talk

    @property
    def encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(self._encodable(self._redact(text)))
            except (OSError, ValueError) as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failed(error)

    def line(self, text: str) -> None:
        """Write a line, at once."""
        self.write(text + "\n")
        self.flush()

    def _encodable(self, text: str) -> str:
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def _failed(self, error: OSError | ValueError) -> None:
        gone = isinstance(error, ValueError) or error.errno in _GONE
        if not gone and not self._talk:
            raise error
        if isinstance(error, BlockingIOError):  # nothing is broken, only this line is lost
            return
        stream, self._stream = self._stream, None
        if stream is not None:
            _to_nowhere(stream)


def piped() -> str:
    """Return what was piped in; nothing if stdin was closed when we were started."""
    return sys.stdin.read() if sys.stdin else ""


def reserve() -> None:
    """Open what was closed of stdin, stdout and stderr, to nowhere.

    Otherwise the next file that anybody opens gets the number, and takes what is written there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one


def _to_nowhere(stream: TextIO) -> None:
    """Lead what is left in buffers away: Python flushes them at its end, and would complain."""
    try:
        target = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (OSError, ValueError):
        return
    os.dup2(nowhere, target)
    os.close(nowhere)
