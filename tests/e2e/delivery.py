"""What a bundle's registry sent, by its access log, and what a node's containerd received."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .engine import Engine

# `stop pulling image NAME: active requests=0, bytes read=4096`
_READ = re.compile(r"stop pulling image .*bytes read=(\d+)")


@dataclass(frozen=True)
class Sent:
    """A blob of a repository of an upstream host that was sent to somebody."""

    to: str
    host: str
    digest: str
    size: int


def registries(engine: Engine) -> list[str]:
    return engine.containers("label=cto.dev/role=registry")


def sent(engine: Engine, registry: str) -> list[Sent]:
    """Return every blob that a registry sent, in order; bytes as they went over the wire."""
    done = engine.run("logs", registry)
    return list(_sent(f"{done.stdout}\n{done.stderr}"))


def _sent(log: str) -> Iterator[Sent]:
    for line in log.splitlines():
        if not line.startswith("{"):
            continue
        entry = json.loads(line)
        is_blob = "/blobs/" in entry.get("http.request.uri", "")
        if is_blob and entry.get("http.request.method") == "GET" and "vars.digest" in entry:
            to = entry["http.request.remoteaddr"].rpartition(":")[0]
            size = int(entry.get("http.response.written", 0))
            if size and entry.get("msg") == "response completed":
                yield Sent(to, entry["vars.name"].partition("/")[0], entry["vars.digest"], size)


def received(engine: Engine) -> int:
    """Return the bytes that all nodes' containerds read from registries since they were made."""
    log = ["journalctl", "--no-pager", "--output=cat", "--unit=containerd"]
    nodes = engine.containers("label=io.x-k8s.kind.cluster")
    logs = [engine.out("exec", node, *log) for node in nodes]
    return sum(int(found) for text in logs for found in _READ.findall(text))


def repeated(blobs: list[Sent]) -> dict[Sent, int]:
    """Return what was sent to the same node more than once.

    kind's containerd keeps layers unpacked only (`discard_unpacked_layers`): one that lies on other
    layers than before is asked for again. In the lab's images that is so from host to host, and
    nowhere else.
    """
    return {blob: times for blob, times in Counter(blobs).items() if times > 1}
