"""The page on which people make the Apps: a button for each, which leads to GitHub and back.

It is served on the loopback address, below a path that nobody guesses. GitHub sends the browser
back to it with a code; where the browser is elsewhere, the code stands in its address bar.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from secrets import token_urlsafe
from string import Template
from threading import Lock, Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

_CALLBACK = "/callback/"


@dataclass
class Row:
    """An agent on the page.

    Attributes:
        may: What its App may do, in words.
        manifest: For GitHub.
        state: What GitHub sends back with the code: nobody else knows it.
        status: As the page has it: make, busy, install, done, failed.
        link: Where the next click leads.
    """

    agent: str
    name: str
    duty: str
    may: Sequence[str]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    state: str = field(default_factory=token_urlsafe)
    status: str = "make"
    text: str = "not made yet"
    link: str = ""


class Page:
    """Serves the page while the block goes on.

    Args:
        file: Its HTML.
        action: GitHub's page for new Apps.
        everywhere: Listen on all addresses: in a container, whose port is published.
        port: 0 is any that is free.
    """

    def __init__(self, file: Path, action: str, *, everywhere: bool = False, port: int = 0) -> None:
        self._template = Template(file.read_text(encoding="utf-8"))
        self._action = action
        self._key = token_urlsafe()
        self._lock = Lock()
        self.rows: dict[str, Row] = {}
        self.came: SimpleQueue[tuple[str, str]] = SimpleQueue()
        page = self

        class PageHandler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
                """Say nothing: codes are in what is asked for."""

        address = "0.0.0.0" if everywhere else "127.0.0.1"  # noqa: S104 - a container's own
        self._server = ThreadingHTTPServer((address, port), PageHandler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def origin(self) -> str:
        """Where browsers find it. Not by the name `localhost`, which some take to HTTPS."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/{self._key}/"

    def back_to(self, agent: str) -> str:
        """Return where GitHub is to send the browser."""
        return f"{self.origin}{_CALLBACK}{agent}"

    def tell(self, agent: str, status: str, text: str, link: str = "") -> None:
        """Show how it goes with an agent's App."""
        with self._lock:
            row = self.rows[agent]
            row.status, row.text, row.link = status, text, link

    def accept(self, address: str) -> bool:
        """Take the code in an address that GitHub sent a browser to; tell whether it is one."""
        parts = urlsplit(address.strip())
        agent = parts.path.removeprefix(_CALLBACK)
        query = parse_qs(parts.query)
        code, state = (query.get(name, [""])[0] for name in ("code", "state"))
        row = self.rows.get(agent)
        expected = row.state if row else token_urlsafe()
        # Also for an agent that there is not: how long it takes tells nothing.
        if not compare_digest(state.encode(), expected.encode()) or not code or row is None:
            return False
        with self._lock:
            # Once: a browser may repeat what it asked for.
            if row.status == "make":
                row.status, row.text = "busy", "its key is fetched"
                self.came.put((agent, code))
        return True

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a browser."""
        host = handler.headers.get("Host", "")
        path = urlsplit(handler.path).path
        if host not in (
            self.origin.removeprefix("http://"),
            self.origin[7:].replace("127.0.0.1", "localhost"),
        ):
            # A name that leads here: https://en.wikipedia.org/wiki/DNS_rebinding
            _say(handler, 403, "text/plain", "Not for this host.")
        elif path.startswith(_CALLBACK):
            if self.accept(handler.path):
                _say(handler, 303, "text/plain", "", Location=self.url)
            else:
                text = "This did not come from the page: open it again, and begin there."
                _say(handler, 400, "text/plain", text)
        elif compare_digest(path.encode(), f"/{self._key}/".encode()):
            nonce = token_urlsafe()
            _say(handler, 200, "text/html", self.html(nonce), **self._policy(nonce))
        elif compare_digest(path.encode(), f"/{self._key}/progress".encode()):
            with self._lock:
                told = {name: [row.status, row.text] for name, row in self.rows.items()}
            _say(handler, 200, "application/json", json.dumps(told))
        else:
            _say(handler, 404, "text/plain", "There is nothing here.")

    def html(self, nonce: str = "", *, elsewhere: bool = False) -> str:
        """Return the page; `elsewhere` is for a browser that does not reach this machine."""
        with self._lock:
            rows = "".join(self._row(row, elsewhere=elsewhere) for row in self.rows.values())
            done = sum(row.status in ("install", "done") for row in self.rows.values())
        return self._template.substitute(
            nonce=html.escape(nonce, quote=True),
            rows=rows,
            done=done,
            all=len(self.rows),
            elsewhere="" if elsewhere else "hidden",
            poll="" if elsewhere else "progress",
        )

    def _row(self, row: Row, *, elsewhere: bool) -> str:
        def safe(text: str) -> str:
            return html.escape(text, quote=True)

        head = f'<h2 id="h-{safe(row.agent)}">{safe(row.agent)}</h2><p>{safe(row.duty)}</p>'
        may = "".join(f"<li>{safe(one)}</li>" for one in row.may)
        target = ' target="_blank" rel="noopener"' if elsewhere or row.status == "install" else ""
        click = ""
        if row.status == "make":
            where = f"{self._action}?{urlencode({'state': row.state})}"
            click = (
                f'<form method="post" action="{safe(where)}"{target}>'
                f'<input type="hidden" name="manifest" value="{safe(json.dumps(row.manifest))}">'
                f"<button>Make {safe(row.name)}</button></form>"
                '<p class="hint" hidden>GitHub shows an error? A name that is taken can be changed '
                "there. Only an owner of the organization, or who may manage its Apps, can make "
                "one; others see a page that is not found. What an interrupted run left can be "
                f'deleted in <a href="{safe(self._action.removesuffix("/new"))}">the list</a>.</p>'
            )
        elif row.link:
            click = (
                f'<a class="button" href="{safe(row.link)}"{target}>Install {safe(row.agent)}</a>'
            )
        return (
            f'<li class="{row.status}" data-agent="{safe(row.agent)}">{head}<ul>{may}</ul>'
            f'<p class="status">{safe(row.text)}</p>{click}</li>'
        )

    def _policy(self, nonce: str) -> Mapping[str, str]:
        site = urlsplit(self._action)
        # Also what GitHub sends the browser back to: some browsers apply it to that, too.
        form = f"{site.scheme}://{site.netloc} {self.origin}"
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
            f"connect-src 'self'; form-action {form}; base-uri 'none'; frame-ancestors 'none'"
        )
        return {"Content-Security-Policy": policy}


def _say(
    handler: BaseHTTPRequestHandler, status: int, kind: str, text: str, **headers: str
) -> None:
    data = text.encode()
    handler.send_response_only(status)
    told = {
        "Content-Type": f"{kind}; charset=utf-8",
        "Content-Length": str(len(data)),
        "Cache-Control": "no-store",
        # Without any, browsers would send GitHub the form as nobody's.
        "Referrer-Policy": "strict-origin",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    for name, value in told.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)
