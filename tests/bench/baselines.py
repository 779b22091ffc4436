"""The same installation with Helm and kubectl alone, as somebody would script it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.product import Item, Lab
from cto.ports import Access

WAIT = "--wait=watcher"
NO_WAIT = "--wait=hookOnly"
_LIMIT_S = 600


@dataclass
class Baseline:
    """Helm on one cluster.

    Attributes:
        crds_s: How long the definitions of a component took.
        releases_s: How long its release took.
    """

    lab: Lab
    access: Access
    items: Sequence[Item]
    crds_s: dict[str, float] = field(default_factory=dict)
    releases_s: dict[str, float] = field(default_factory=dict)

    def install(self, *, lanes: int, wait: str) -> float:
        """Install everything, the definitions first; return the seconds.

        What only cto does (generated secrets, its own objects, checks) is not asked of Helm.
        """
        begun = time.monotonic()
        self._apply(json.dumps(_listed(self.lab.namespaces)))
        for item in self.items:
            if item.crds:
                at = time.monotonic()
                self._apply(item.crds.read_text(encoding="utf-8"))
                self.crds_s[item.name] = time.monotonic() - at
        self.upgrade(lanes=lanes, wait=wait)
        return time.monotonic() - begun

    def upgrade(self, *, lanes: int, wait: str) -> float:
        """Run `helm upgrade --install` for all releases; return the seconds."""
        begun = time.monotonic()
        with ThreadPoolExecutor(lanes) as pool:
            for _ in pool.map(lambda item: self._release(item, wait), self.items):
                pass
        return time.monotonic() - begun

    def critical_path(self) -> tuple[float, str]:
        """Return the longest chain of what was measured one after another, and its last link."""
        ends: dict[str, float] = {}
        for item in self.items:
            before = max((ends[name] for name in item.after if name in ends), default=0.0)
            own = max(before, self.crds_s.get(item.name, 0.0))
            ends[item.name] = own + self.releases_s[item.name]
        last = max(ends, key=lambda name: ends[name])
        return ends[last], last

    def _release(self, item: Item, wait: str) -> None:
        begun = time.monotonic()
        self._run(
            "helm",
            "upgrade",
            item.release,
            str(item.chart),
            "--install",
            wait,
            "--skip-crds",
            "--timeout",
            f"{_LIMIT_S}s",
            "--namespace",
            item.namespace,
            "--values",
            str(item.values),
            "--kube-context",
            self.access.context,
        )
        self.releases_s[item.name] = time.monotonic() - begun

    def revisions(self) -> dict[str, str]:
        listed = self._run(
            "helm", "list", "-A", "-o", "json", "--kube-context", self.access.context
        )
        return {release["name"]: release["revision"] for release in json.loads(listed)}

    def _apply(self, text: str) -> None:
        self._run(
            "kubectl",
            "apply",
            "--server-side",
            "--context",
            self.access.context,
            "--filename",
            "-",
            stdin=text,
        )

    def _run(self, program: str, *arguments: str, stdin: str = "") -> str:
        argv = [
            str(self.lab.tools / program),
            *arguments,
            "--kubeconfig",
            str(self.access.kubeconfig),
        ]
        done = subprocess.run(
            argv,
            env=self.lab.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S + 60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError("\n".join([" ".join(argv), done.stderr[-2000:]]))
        return done.stdout


def _listed(items: Sequence[object]) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}
