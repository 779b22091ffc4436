"""A mail server on the loopback address: it takes what it is sent, as far as it lets people in."""

from __future__ import annotations

import base64
import socketserver
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any, Self

from fakes.serving import Served


@dataclass
class MailServer(Served):
    """Takes mails.

    Attributes:
        tls: What it offers STARTTLS with, if it does.
        at_once: Speak TLS from the start.
        login: Name and password without which it takes nothing; '' for everybody.
        mails: What it took: recipients, and the mail.
    """

    tls: ssl.SSLContext | None = None
    at_once: bool = False
    login: tuple[str, str] | None = None
    mails: list[tuple[list[str], Message]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # Who speaks another protocol, or trusts nobody, hangs up.
                with suppress(OSError, ValueError):
                    if outer.at_once:
                        self.secure()
                    _Talk(self, outer).run()

            def secure(self) -> None:
                assert outer.tls is not None
                self.request = outer.tls.wrap_socket(self.request, server_side=True)
                self.setup()

            def finish(self) -> None:
                super().finish()
                self.request.close()

        self.serve(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler))
        return self


class _Talk:
    """One connection, by RFC 5321, 3207 (STARTTLS) and 4954 (AUTH PLAIN)."""

    def __init__(self, line: Any, server: MailServer) -> None:
        self._line = line
        self._server = server
        self._is_secure = server.at_once
        self._is_in = server.login is None
        self._recipients: list[str] = []

    def run(self) -> None:
        self._say("220 fake")
        while words := self._line.rfile.readline().decode().split():
            if words[0].upper() == "QUIT":
                self._say("221 bye")
                return
            self._answer(words)

    def _answer(self, words: list[str]) -> None:
        match words[0].upper():
            case "EHLO":
                offers = ["STARTTLS"] if self._server.tls and not self._is_secure else []
                self._say("250-fake", *(f"250-{one}" for one in offers), "250 AUTH PLAIN")
            case "STARTTLS":
                self._say("220 go ahead")
                self._line.secure()
                self._is_secure = True
            case "AUTH":
                _, name, password = base64.b64decode(words[2]).decode().split("\0")
                self._is_in = (name, password) == self._server.login
                self._say("235 welcome" if self._is_in else "535 who are you?")
            case "MAIL" | "RSET":
                self._recipients = []
                self._say("250 ok" if self._is_in else "530 log in first")
            case "RCPT":
                self._recipients.append(words[1].partition("<")[2].rstrip(">"))
                self._say("250 ok")
            case "DATA":
                self._say("354 go ahead")
                lines = iter(self._line.rfile.readline, b".\r\n")
                self._server.mails.append((self._recipients, message_from_bytes(b"".join(lines))))
                self._say("250 taken")
            case _:
                self._say("502 what?")

    def _say(self, *lines: str) -> None:
        self._line.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
