"""What a user who pressed Ctrl-C is told: how far the run got."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def tells(text: str) -> Iterator[None]:
    """Let an interruption of the block say the text, if nobody inside knows better."""
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise KeyboardInterrupt(str(stopped) or text) from None
