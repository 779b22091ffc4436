"""Renderings of made-up components, and registries that answer from memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cto.bundle.collect import Rendering
from cto.bundle.resolve import Resolved
from cto.errors import ToolError
from cto.objects import Manifest

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64


def containers(*images: str) -> list[dict[str, str]]:
    return [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]


def workload(kind: str, *images: str, **pod: Any) -> Manifest:
    """Return an object of a kind whose pods have these images."""
    spec: dict[str, Any] = {"containers": containers(*images), **pod}
    template = {"template": {"metadata": {}, "spec": spec}}
    bodies: Mapping[str, Manifest] = {
        "Pod": {"apiVersion": "v1", "spec": spec},
        "PodTemplate": {"apiVersion": "v1", **template},
        "CronJob": {"apiVersion": "batch/v1", "spec": {"jobTemplate": {"spec": template}}},
        "Job": {"apiVersion": "batch/v1", "spec": template},
    }
    body = bodies.get(kind, {"apiVersion": "apps/v1", "spec": template})
    return {"kind": kind, "metadata": {"name": "it", "namespace": "ns"}, **body}


def rendering(component: str, *images: str, profile: str = "minimal") -> Rendering:
    manifests = (workload("Deployment", *images),) if images else ()
    return Rendering(
        component=component, profile=profile, kube_version="v1.31.0", manifests=manifests
    )


@dataclass
class FakeResolver:
    """Knows what it was told; everything else its registry does not have."""

    known: dict[str, Resolved] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def on(self, reference: str, digest: str = DIGEST) -> FakeResolver:
        answer = Resolved(digest=digest, size=2_100_000, platforms=("linux/amd64", "linux/arm64"))
        self.known[reference] = answer
        return self

    def resolve(self, reference: str) -> Resolved:
        self.asked.append(reference)
        if reference not in self.known:
            text = f"{reference} cannot be resolved"
            raise ToolError("CTO-1500", text, details="asked r.example\n404")
        return self.known[reference]
