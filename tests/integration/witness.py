"""Watches a running installer and the API server at once: who knew of a trouble first, and when."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.objects import Manifest

_LOOK_S = 0.2
_KINDS = (
    ("v1", "Pod"),
    ("v1", "Event"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
)

Sign: TypeAlias = Callable[["Snapshot"], bool]


@dataclass(frozen=True)
class Snapshot:
    """What the API shows at one moment."""

    objects: Mapping[str, Sequence[Manifest]]

    def of(self, kind: str, namespace: str = "", prefix: str = "") -> Iterator[Manifest]:
        for item in self.objects[kind]:
            metadata = item["metadata"]
            place = metadata.get("namespace", "")
            if metadata["name"].startswith(prefix) and namespace in ("", place):
                yield item


def waiting(namespace: str, prefix: str, reason: str) -> Sign:
    """A container of a pod waits for this reason."""

    def sign(now: Snapshot) -> bool:
        states = [
            state.get("state", {}).get("waiting", {}).get("reason")
            for pod in now.of("Pod", namespace, prefix)
            for state in pod.get("status", {}).get("containerStatuses", ())
        ]
        return reason in states

    return sign


def condition(kind: str, namespace: str, prefix: str, name: str, status: str) -> Sign:
    """A condition of an object has this status."""

    def sign(now: Snapshot) -> bool:
        found = [
            (item["type"], item["status"])
            for manifest in now.of(kind, namespace, prefix)
            for item in manifest.get("status", {}).get("conditions") or ()
        ]
        return (name, status) in found

    return sign


def event(namespace: str, reason: str, about: str) -> Sign:
    """There is an event about an object whose name begins so."""

    def sign(now: Snapshot) -> bool:
        return any(
            item.get("reason") == reason and item["involvedObject"]["name"].startswith(about)
            for item in now.of("Event", namespace)
        )

    return sign


@dataclass
class Witness:
    """Reads the stderr of a process live, and looks at the API meanwhile.

    Attributes:
        lines: What was said, with the moment of its arrival.
        seen: The moment at which the API first showed a sign.
    """

    process: subprocess.Popen[str]
    cluster: KubeCluster
    signs: Mapping[str, Sign]
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    lines: list[tuple[float, str]] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    output: str = ""

    def watch(self, timeout_s: float) -> int:
        """Return the exit code of the process when it has ended."""
        threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._read, self._read_result, self._look)
        ]
        for thread in threads:
            thread.start()
        code = self.process.wait(timeout_s)
        self.ended = time.monotonic()
        self.load = max(self.load, os.getloadavg()[0])
        for thread in threads:
            thread.join(30)
        for stream in (self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        return code

    def told(self, words: Iterable[str]) -> float | None:
        """Return when a line with all these words arrived first."""
        wanted = tuple(words)
        return next((at for at, line in self.lines if all(w in line for w in wanted)), None)

    @property
    def text(self) -> str:
        return "\n".join(f"{at - self.started:6.1f} {line}" for at, line in self.lines)

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def _read_result(self) -> None:
        assert self.process.stdout
        self.output = self.process.stdout.read()

    def _look(self) -> None:
        while self.process.poll() is None and len(self.seen) < len(self.signs):
            objects: dict[str, Any] = {kind: self.cluster.list(v, kind) for v, kind in _KINDS[:-1]}
            objects[_KINDS[-1][1]] = [] if self._knows_all_names() else self._conflicts()
            now, moment = time.monotonic(), Snapshot(objects)
            for name, sign in self.signs.items():
                if name not in self.seen and sign(moment):
                    self.seen[name] = now
            time.sleep(_LOOK_S)

    def _knows_all_names(self) -> bool:
        return "definition" in self.seen or "definition" not in self.signs

    def _conflicts(self) -> Sequence[Manifest]:
        """Return the one definition that matters: all of them are megabytes."""
        return self.cluster.list(*_KINDS[-1], fields="metadata.name=poolers.postgresql.cnpg.io")
