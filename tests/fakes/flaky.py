"""A line to a server that breaks when it is told to."""

from __future__ import annotations

import http.client
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from fakes.serving import Served
from fakes.trouble import Trouble, Troubles

_PIECE = 1 << 14
_OURS = frozenset({"transfer-encoding", "connection", "content-length", "date", "server"})


class FlakyProxy(Served):
    """Stands before a server on the loopback address, as if it were that server.

    Attributes:
        troubles: What is to go wrong.
        seen: Method and address of every request, in their order.
    """

    def __init__(self, target: str) -> None:
        self.troubles = Troubles()
        self.seen: list[tuple[str, str]] = []
        self._target = target

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def requests(self, method: str, fragment: str) -> list[tuple[str, str]]:
        return [one for one in self.seen if one[0] == method and fragment in one[1]]

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = False
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                outer.handle(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Say nothing."""

        self.serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        return self

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        self.seen.append((handler.command, handler.path))
        trouble = self.troubles.for_request(handler.command, handler.path)
        if trouble and trouble.status:
            self._answer(handler, trouble)
        elif trouble and trouble.cut < 0:
            handler.close_connection = True
        else:
            with suppress(ConnectionError):
                self._forward(handler, trouble.cut if trouble else -1)

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, trouble: Trouble) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.send_response(trouble.status)
        for name, value in {**trouble.headers, "Content-Length": "0"}.items():
            handler.send_header(name, value)
        handler.end_headers()

    def _forward(self, handler: BaseHTTPRequestHandler, cut: int) -> None:
        line = http.client.HTTPConnection(self._target, timeout=30)
        try:
            line.putrequest(
                handler.command, handler.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in handler.headers.items():
                line.putheader(name, value)
            line.endheaders()
            if not self._send_body(handler, line, cut):
                return
            self._send_answer(handler, line.getresponse(), cut)
        finally:
            line.close()

    @staticmethod
    def _send_body(
        handler: BaseHTTPRequestHandler, line: http.client.HTTPConnection, cut: int
    ) -> bool:
        """Pass a request's body on; False if the line broke on the way."""
        left = int(handler.headers.get("Content-Length") or 0)
        breaks = left > cut >= 0
        left = min(left, cut) if breaks else left
        while left and (data := handler.rfile.read(min(left, _PIECE))):
            line.send(data)
            left -= len(data)
        handler.close_connection = handler.close_connection or breaks
        return not breaks

    @staticmethod
    def _send_answer(
        handler: BaseHTTPRequestHandler, answer: http.client.HTTPResponse, cut: int
    ) -> None:
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OURS:
                handler.send_header(name, value)
        length = answer.getheader("Content-Length", "0")
        handler.send_header("Content-Length", length)
        handler.end_headers()
        data = b"" if handler.command == "HEAD" else answer.read()
        handler.wfile.write(data if cut < 0 else data[:cut])
        handler.close_connection = handler.close_connection or cut >= 0
