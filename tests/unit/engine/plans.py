"""Objects as plans have them."""

from __future__ import annotations

from typing import Any

from cto.engine.planned import PlannedObject, Resource
from cto.objects import Manifest, ObjectRef
from fakes.kinds import builtin

_RESOURCES = {
    (kind.api_version, kind.kind): Resource(
        kind.api_version.rpartition("/")[0], kind.plural, kind.namespaced
    )
    for kind in builtin()
}


def planned(manifest: Manifest, **more: Any) -> PlannedObject:
    """Return an object that the plan writes, of a release of its own namespace."""
    metadata = manifest["metadata"]
    where = metadata.get("namespace", "")
    ref = ObjectRef(manifest["apiVersion"], manifest["kind"], where, metadata["name"])
    return PlannedObject(
        component="web",
        ref=ref,
        resource=_RESOURCES[ref.api_version, ref.kind],
        manifest=manifest,
        **{"release": ("web", "web"), **more},
    )


def deployment(
    name: str = "web",
    namespace: str = "web",
    *,
    replicas: int = 1,
    cpu: str = "100m",
    memory: str = "64Mi",
    **spec: Any,
) -> PlannedObject:
    """Return a Deployment whose pods ask for that much."""
    container = {
        "name": "main",
        "image": "x",
        "resources": {"requests": {"cpu": cpu, "memory": memory}},
    }
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container], **spec}}
    return planned(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }
    )


def small(kind: str, name: str = "web", namespace: str = "web", **fields: Any) -> PlannedObject:
    """Return an object of a built-in kind."""
    api_version = next(version for version, found in _RESOURCES if found == kind)
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return planned({"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields})
