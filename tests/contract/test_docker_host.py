"""Whether a port is free is asked of the kernel."""

from __future__ import annotations

import socket

from cto.adapters.docker.host import port_is_free


def test_a_port_is_free_until_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not port_is_free(port)
    assert port_is_free(port)
