"""A registry on a loopback port, that has the images of the lab under HOST/REPOSITORY:TAG."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import IO, Any
from urllib.parse import urlencode, urlsplit

from lab.images import catalog, layout
from lab.tools import build

_LISTENING = "listening on "
_READY_S = 30


def storage() -> Path:
    """Say where the registry keeps what was pushed."""
    return build.cache_dir() / "images" / "registry"


def program() -> Path:
    return build.cache_dir() / "registry" / "registry"


@contextlib.contextmanager
def registry(*, address: str = "127.0.0.1:0") -> Iterator[str]:
    """Run the registry, and yield its HOST:PORT."""
    storage().mkdir(parents=True, exist_ok=True)
    config = storage().with_suffix(".json")
    settings = {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(storage())}},
        "http": {"addr": address},
    }
    config.write_text(json.dumps(settings))
    process = subprocess.Popen(
        build.bound([str(program()), "serve", str(config)]),
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield _address(process)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[str]) -> str:
    """Wait for the line that names the port; somebody has to read on, or the pipe fills up."""
    lines: queue.Queue[str] = queue.Queue()
    Thread(target=_drain, args=(process.stdout, lines), daemon=True).start()
    said = []
    while _LISTENING not in (line := lines.get(timeout=_READY_S)):
        said.append(line)
        if not line:
            raise build.BuildError("\n  ".join(["the lab's registry did not start:", *said]))
    return line.partition(_LISTENING)[2].replace('"', " ").replace(",", " ").split()[0]


def _drain(stream: IO[str] | None, lines: queue.Queue[str]) -> None:
    if stream is not None:
        with stream:
            for line in stream:
                lines.put(line)
    lines.put("")


class Pusher:
    """Brings images of a layout to the registry: only what it lacks."""

    def __init__(self, host: str, made: layout.Layout) -> None:
        self._connection = http.client.HTTPConnection(host, timeout=120)
        self._made = made

    def push(self, descriptor: dict[str, Any], reference: catalog.Reference) -> None:
        """Push an image, or an index and its images, and name it."""
        self._manifest(descriptor, f"{reference.host}/{reference.repository}", reference.tag)

    def _manifest(self, descriptor: dict[str, Any], name: str, tag: str) -> None:
        path = f"/v2/{name}/manifests/{tag}"
        accept = {"Accept": descriptor["mediaType"]}
        answer, found = self._ask("HEAD", path, headers=accept)
        if answer == 200 and found["docker-content-digest"] == descriptor["digest"]:
            return
        body = self._made.read(descriptor)
        for child in body.get("manifests", []):
            self._manifest(child, name, child["digest"])
        for blob in [*body.get("layers", []), *([body["config"]] if "config" in body else [])]:
            self._blob(blob, name)
        data = self._made.path(descriptor["digest"]).read_bytes()
        self._expect(201, "PUT", path, data, {"Content-Type": descriptor["mediaType"]})

    def _blob(self, descriptor: dict[str, Any], name: str) -> None:
        digest = descriptor["digest"]
        if self._ask("HEAD", f"/v2/{name}/blobs/{digest}")[0] == 200:
            return
        found = self._expect(202, "POST", f"/v2/{name}/blobs/uploads/")
        place = urlsplit(found["location"])
        more = urlencode({"digest": digest})
        with self._made.path(digest).open("rb") as body:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(descriptor["size"]),
            }
            self._expect(201, "PUT", f"{place.path}?{place.query}&{more}", body, headers)

    def _expect(
        self,
        status: int,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> dict[str, str]:
        answer, found = self._ask(method, path, body, headers)
        if answer != status:
            text = f"the lab's registry answered {answer} to {method} {path}"
            raise build.BuildError(text)
        return found

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str]]:
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        response.read()
        return response.status, {key.lower(): value for key, value in response.getheaders()}
