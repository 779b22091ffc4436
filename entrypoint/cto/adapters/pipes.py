"""Ends of a child's pipes, moved by whoever waits for them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import IO

_CHUNK = 1 << 16
# Programs that show progress overwrite a line with a carriage return.
_LINE_END = re.compile(r"\r\n|\r|\n")


class Reader:
    """Collects what comes out."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self._chunks: list[bytes] = []
        os.set_blocking(file.fileno(), False)

    def move(self) -> bool:
        """Take what is there; False at the end."""
        with suppress(BlockingIOError):
            chunk = os.read(self.file.fileno(), _CHUNK)
            self.take(chunk)
            return bool(chunk)
        return True

    def take(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def text(self) -> str:
        return b"".join(self._chunks).decode(errors="replace")


class LineReader(Reader):
    """Collects, and hands on every line as it comes."""

    def __init__(self, file: IO[bytes], on_line: Callable[[str], None]) -> None:
        super().__init__(file)
        self._on_line = on_line
        self._rest = b""

    def take(self, chunk: bytes) -> None:
        super().take(chunk)
        data = self._rest + chunk
        # Bytes of a character, or a line, may be split between two chunks.
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1 if chunk else len(data)
        ready, self._rest = data[:end], data[end:]
        for line in _LINE_END.split(ready.decode(errors="replace")):
            if line.strip():
                self._tell(line)

    def _tell(self, line: str) -> None:
        on_line = self._on_line
        # If the listener fails, the rest of the output is still read, for nobody.
        self._on_line = _nobody
        on_line(line)
        self._on_line = on_line


def _nobody(_: str) -> None: ...


class Writer:
    """Hands in a text, then closes."""

    def __init__(self, file: IO[bytes], data: bytes) -> None:
        self.file = file
        self._data = memoryview(data)
        os.set_blocking(file.fileno(), False)

    def move(self) -> bool:
        """Write what fits; False when all is written or nobody reads."""
        try:
            written = os.write(self.file.fileno(), self._data[:_CHUNK])
        except BlockingIOError:
            return True
        except BrokenPipeError:
            return False
        self._data = self._data[written:]
        return bool(self._data)
