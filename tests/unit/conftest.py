"""Unit tests touch nothing but memory and their own temporary folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no reason to fail: the suite has a time limit of its own.
# Half of the usual examples: every run draws others, and the quick part has to stay quick.
settings.register_profile("steady", deadline=None, max_examples=50)
settings.load_profile("steady")

_FORBIDDEN = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "socket.__new__",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
    }
)
_state = {"guarded": False}


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _state["guarded"] and event in _FORBIDDEN:
        text = f"a unit test must not do this: {event}{args!r:.200}"
        raise AssertionError(text)


# An audit hook sees what every module does, however it does it, and nothing has to be patched.
# It cannot be removed again, hence the flag.
sys.addaudithook(_audit)


@pytest.fixture(autouse=True)
def _no_process_no_socket() -> Iterator[None]:
    """Forbid processes and sockets while a unit test runs."""
    _state["guarded"] = True
    yield
    _state["guarded"] = False
