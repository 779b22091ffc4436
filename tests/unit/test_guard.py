"""The guard of the unit tests themselves: what they may not do, they cannot do."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    "action",
    [
        lambda: subprocess.run(["/bin/true"], check=True),
        socket.socket,
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: http.client.HTTPConnection("127.0.0.1", 9).connect(),
        lambda: os.fork(),  # noqa: PLW0108 - looked up when it is called
        lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        lambda: os.posix_spawn("/bin/true", ["true"], {}),
        lambda: os.system("/bin/true"),  # noqa: S605
    ],
)
def test_a_unit_test_starts_no_process_and_opens_no_socket(action: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="a unit test must not do this"):
        action()
