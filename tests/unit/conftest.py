"""Unit tests touch nothing but memory and their own temporary folder."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no reason to fail: the suite has a time limit of its own.
# Half of the usual examples: every run draws others, and the quick part has to stay quick.
settings.register_profile("steady", deadline=None, max_examples=50)
settings.load_profile("steady")

# What starts a process or reaches a network, as everything above it calls it in the end. No audit
# hook: Python 3.11 fails to start a thread under coverage while another one is in such a hook
# (sys.settrace, "while another trace function is being installed").
_FORBIDDEN = {
    os: ("execv", "execve", "fork", "forkpty", "posix_spawn", "posix_spawnp", "system"),
    socket: ("getaddrinfo", "gethostbyname"),
    socket.socket: ("__init__",),
    subprocess: ("_fork_exec",),
}


@pytest.fixture(autouse=True)
def _no_process_no_socket() -> Iterator[None]:
    """Forbid processes and sockets while a unit test runs."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, names in _FORBIDDEN.items():
            for name in names:
                patch.setattr(owner, name, _forbidden(name))
        yield


def _forbidden(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **_: Any) -> Any:
        text = f"a unit test must not do this: {name}{args!r:.200}"
        raise AssertionError(text)

    return refuse
