"""What servers on the loopback address have in common."""

from __future__ import annotations

import ssl
from http.server import ThreadingHTTPServer
from socketserver import ThreadingTCPServer
from threading import Thread
from types import TracebackType


class Served:
    """A context manager whose `__enter__` calls `serve`."""

    _server: ThreadingTCPServer | ThreadingHTTPServer
    _thread: Thread

    def serve(
        self,
        server: ThreadingTCPServer | ThreadingHTTPServer,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Answer from a thread, and each connection from one of its own."""
        if tls:
            # Each shakes hands in its own thread: one that refuses must not hold up the others.
            server.socket = tls.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        server.daemon_threads = True
        self._server = server
        self._thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
