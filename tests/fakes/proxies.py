"""Proxies on the loopback address: they bring every connection to one server, whatever its name."""

from __future__ import annotations

import base64
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Self

from fakes.serving import Served

_REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"

_CLOSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@dataclass
class FakeProxy(Served):
    """An HTTP proxy for tunnels and for requests without TLS, or one that speaks SOCKS 5.

    Attributes:
        port: Of the server that all connections go to.
        login: `USER:PASSWORD` that it wants; nothing for none.
        socks: Whether it speaks SOCKS.
        closed: Whether it lets nobody through.
        tls: What it shows who it is with, if it is asked by TLS.
        seen: Where it was asked to go, in order.
    """

    port: int
    login: str = ""
    socks: bool = False
    closed: bool = False
    tls: ssl.SSLContext | None = None
    seen: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        outer = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    (outer.serve_socks if outer.socks else outer.serve_http)(self)

        ThreadingTCPServer.allow_reuse_address = True
        self.serve(ThreadingTCPServer(("127.0.0.1", 0), Handler), self.tls)
        return self

    def serve_http(self, line: StreamRequestHandler) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (read := line.rfile.readline()):
                return
            head += read
        method, target, _ = head.decode().split(" ", 2)
        wanted = base64.b64encode(self.login.encode()).decode()
        if self.login and f"Proxy-Authorization: Basic {wanted}\r\n" not in head.decode():
            line.wfile.write(_REFUSAL)
            return
        self.seen.append(f"{method} {target}")
        if self.closed:
            line.wfile.write(_CLOSED)
            return
        if method == "CONNECT":
            line.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._join(line, b"")
        else:
            path = "/" + target.split("/", 3)[3]
            self._join(line, head.replace(target.encode(), path.encode(), 1))

    def serve_socks(self, line: StreamRequestHandler) -> None:
        """RFC 1928, and RFC 1929 for the log-in."""
        methods = line.rfile.read(line.rfile.read(2)[1])
        wanted = 2 if self.login else 0
        if wanted not in methods:
            line.wfile.write(b"\x05\xff")
            return
        line.wfile.write(bytes([5, wanted]))
        if self.login:
            line.rfile.read(1)
            user = line.rfile.read(line.rfile.read(1)[0]).decode()
            password = line.rfile.read(line.rfile.read(1)[0]).decode()
            good = f"{user}:{password}" == self.login
            line.wfile.write(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        kind = line.rfile.read(4)[3]
        size = line.rfile.read(1)[0] if kind == 3 else 4
        host = line.rfile.read(size)
        port = int.from_bytes(line.rfile.read(2), "big")
        name = host.decode() if kind == 3 else socket.inet_ntoa(host)
        self.seen.append(f"SOCKS {name}:{port}")
        line.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
        self._join(line, b"")

    def _join(self, line: StreamRequestHandler, first: bytes) -> None:
        """Carry bytes both ways until one side ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as server:
            server.sendall(first)
            back = Thread(target=_carry, args=(server, line.connection), daemon=True)
            back.start()
            _carry(line.connection, server)
            back.join(30)


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
