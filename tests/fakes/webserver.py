"""A web server on the loopback address that answers as it is told."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from fakes.serving import Served


@dataclass(frozen=True)
class Seen:
    """A request that came in."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Line:
    """The connection of one request, for answers that come in pieces or not at all."""

    def __init__(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        self._handler = handler
        self.seen = seen

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()

    def raw(self, data: bytes) -> None:
        self._handler.wfile.write(data)
        self._handler.wfile.flush()

    def chunk(self, data: bytes) -> None:
        """Send a piece of a chunked answer; an empty one ends it."""
        self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    def hang_up(self) -> None:
        self._handler.close_connection = True


Script = Callable[[Line], None]


def free_port() -> int:
    """Return a port of the loopback address that nobody has, for a program that has to be told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def answer(status: int = 200, body: Any = b"", **headers: str) -> Script:
    """Return a script that answers at once; what is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    def script(line: Line) -> None:
        length = {"Content-Length": str(len(data))}
        line.head(status, length | {k.replace("_", "-"): v for k, v in headers.items()})
        line.raw(data)

    return script


def hang_up(line: Line) -> None:
    """Close the connection without a word."""
    line.hang_up()


@dataclass
class WebServer(Served):
    """Answers each path with its scripts, one after the other, the last one again and again."""

    seen: list[Seen] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    address: str = "127.0.0.1"
    _scripts: dict[tuple[str, str], list[Script]] = field(default_factory=dict)

    def on(self, method: str, path: str, *scripts: Script) -> None:
        self._scripts[method, path] = list(scripts)

    def requests(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path == path]

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}:{self.port}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = False
                try:
                    self.raw_requestline = self.rfile.readline(65537)
                except (ssl.SSLError, ConnectionResetError):
                    # Who asked has gone away.
                    self.raw_requestline = b""
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                outer.handle(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Say nothing."""

        self.serve(ThreadingHTTPServer((self.address, 0), Handler), self.tls)
        return self

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        query = dict(parse_qsl(parts.query))
        seen = Seen(handler.command, parts.path, query, dict(handler.headers), body)
        self.seen.append(seen)
        scripts = self._scripts.get((handler.command, parts.path)) or [answer(404, {"code": 404})]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        script(Line(handler, seen))
