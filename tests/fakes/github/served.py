"""The stand-in's Apps over HTTP, with keys that are keys."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from cto import assets
from cto.github.manifest import rules
from fakes.github.apps import Asked, GitHub, HungUp, Reply
from fakes.github.description import problems
from fakes.serving import Served


@cache
def key(number: int) -> tuple[str, Callable[[str], bool]]:
    """Return a key in PEM, as GitHub gives it, and what tells whether it signed a token."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()

    def checks(token: str) -> bool:
        try:
            # Its times are another matter.
            jwt.decode(
                token,
                made.public_key(),
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError:
            return False
        return True

    return pem, checks


class GitHubServer(Served):
    """Serves a GitHub as an Enterprise Server is: pages and API at one address."""

    def __init__(self, tls: ssl.SSLContext | None = None, **settings: Any) -> None:
        self._tls = tls
        made = iter(range(1000))
        # Few keys: making one takes a while.
        settings.setdefault("make_key", lambda: key(next(made) % 3))
        settings.setdefault("allowed", rules(assets.root() / "templates").events)
        self.github = GitHub(api="/api/v3", watch=self._watch, **settings)
        self.wrong: list[str] = []

    @property
    def url(self) -> str:
        return self.github.url

    @property
    def api(self) -> str:
        return f"{self.url}{self.github.api}"

    def asked(self, pattern: str) -> list[Asked]:
        """Return what came in at a path of the API."""
        return [one for one in self.github.seen if one.path == f"{self.github.api}{pattern}"]

    def _watch(self, asked: Asked, reply: Reply) -> None:
        found = problems(asked.method, asked.path, asked.body, reply.status, reply.data)
        self.wrong += found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End, and see that nothing was said that GitHub would not take, or not say."""
        super().__exit__(kind, error, trace)
        assert not self.wrong, "\n".join(dict.fromkeys(self.wrong))

    def __enter__(self) -> Self:
        github = self.github

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                query, seen = dict(parse_qsl(parts.query)), dict(self.headers)
                try:
                    reply = github.answer(Asked(self.command, parts.path, query, seen, body))
                except HungUp:
                    self.close_connection = True
                    return
                is_page = isinstance(reply.data, str)
                data = reply.data.encode() if is_page else json.dumps(reply.data).encode()
                data = b"" if reply.status in (204, 304) else data
                kind = "text/html; charset=utf-8" if is_page else "application/json"
                self.send_response_only(reply.status)
                told = {"Content-Type": kind, "Date": github.date, **github.headers}
                for name, value in {**told, **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_one  # noqa: N815 - names there

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Say nothing."""

        self.serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler), self._tls)
        github.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.server_address[1]}"
        return self
