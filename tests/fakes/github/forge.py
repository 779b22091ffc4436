"""A stand-in for a GitHub of one's own: tokens, pull requests, and git over HTTPS.

    python3 forge.py FOLDER PORT CERTIFICATE

Runs with Python's standard library and git alone, so that a pod can; apps.py lies beside it. It
knows one repository, `acme/shop`, and gives nothing to who shows no token that it made; git it
gives to who shows a person's, too (READER). Each pull request, and when it came, is a line of
FOLDER/pulls.json; the signature of its App is not verified.
FOLDER/port is there when it listens.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

# In a pod the two files are all that there is.
sys.path.append(str(Path(__file__).parent))
import apps  # type: ignore[import-not-found]

SLUG = "acme/shop"
APP = "Iv23forge"
READER = "forge-reader-token"
API = "/api/v3"
FOLDER = Path()
GIT = shutil.which("git") or "git"
MAY = {"contents": "write", "pull_requests": "write", "issues": "write", "checks": "read"}
GITHUB = apps.GitHub(api=API, apps=[apps.App(1, "forge", APP, "acme", permissions=MAY)], _next=0)


def git(*words: str) -> str:
    argv = [GIT, "-c", "user.name=test", "-c", "user.email=test@example.com", *words]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    return done.stdout.decode().strip()


def make_repository() -> None:
    target = ("-C", str(FOLDER / f"{SLUG}.git"))
    git("init", "--quiet", "--bare", "--initial-branch=main", target[1])
    git(*target, "config", "http.receivepack", "true")
    tree = git(*target, "hash-object", "-t", "tree", "-w", "--stdin")
    first = git(*target, "commit-tree", "-m", "first", tree)
    git(*target, "update-ref", "refs/heads/main", first)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        body = self.body()
        # With .git or without, as at GitHub.
        place = re.fullmatch(rf"/{SLUG}(?:\.git)?/(.+)", parts.path)
        if place:
            self.repository(f"/{SLUG}.git/{place[1]}", parts.query, body)
        elif parts.path.startswith(API):
            self.say(*self.api(parts.path.removeprefix(API), parts.query, body))
        else:
            self.say(404, {"message": "Not Found"})

    do_GET = do_POST = handle_one  # noqa: N815 - names of http.server

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def api(self, path: str, query: str, body: bytes) -> tuple[int, Any]:
        kind, _, shown = self.headers.get("Authorization", "").partition(" ")
        if path.startswith("/app") or path.endswith("/installation"):
            seen = dict(self.headers)
            asked = apps.Asked(self.command, f"{API}{path}", dict(parse_qsl(query)), seen, body)
            reply = GITHUB.answer(asked)
            return reply.status, reply.data
        if kind != "Bearer" or shown not in GITHUB.tokens:
            return 401, apps.BAD
        if path != f"/repos/{SLUG}/pulls":
            return 404, {"message": "Not Found"}
        if self.command == "GET":
            head = parse_qs(query).get("head", [""])[0].partition(":")[2]
            return 200, [pull for pull in pulls() if pull["head"] == head]
        number = len(pulls()) + 1
        url = f"https://{self.headers['Host']}/{SLUG}/pull/{number}"
        made = {**json.loads(body), "number": number, "html_url": url, "at": time.time()}
        with (FOLDER / "pulls.json").open("a") as out:
            out.write(json.dumps(made) + "\n")
        return 201, made

    def repository(self, path: str, query: str, body: bytes) -> None:
        shown = self.headers.get("Authorization", "").removeprefix("Basic ")
        user, _, token = b64decode(shown).decode().partition(":")
        if user != "x-access-token" or token not in {READER, *GITHUB.tokens}:
            login = {"WWW-Authenticate": 'Basic realm="GitHub"'}
            self.say(401, {"message": "Bad credentials"}, login)
            return
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(FOLDER),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": user,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            [GIT, "http-backend"], env=env, input=body, stdout=subprocess.PIPE, check=False
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode().splitlines())
        status = int(told.pop("Status", "200").split()[0])
        self.send(status, rest, told)

    def say(self, status: int, what: Any, headers: dict[str, str] | None = None) -> None:
        told = {"Content-Type": "application/json", **(headers or {})}
        self.send(status, json.dumps(what).encode(), told)

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def pulls() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / "pulls.json").read_text().splitlines()]


def main(folder: str, port: str, certificate: str) -> None:
    global FOLDER  # noqa: PLW0603 - one process, one folder
    FOLDER = Path(folder)
    (FOLDER / "pulls.json").touch()
    GITHUB.approve(GITHUB.apps[0], SLUG)
    make_repository()
    server = ThreadingHTTPServer(("", int(port)), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(
        server.socket,
        server_side=True,
        # In the request's own thread: who connects and says nothing would hold up all others.
        do_handshake_on_connect=False,
    )
    (FOLDER / "port").write_text(str(server.server_port))
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
