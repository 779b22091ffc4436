"""What an API server fills in."""

from __future__ import annotations

import copy

from cto.objects import Manifest
from cto.ports import ApiKind

CREATED = "2030-01-02T03:04:05Z"


def placed(manifest: Manifest, kind: ApiKind) -> Manifest:
    """Return a copy whose namespace is there if its kind has namespaces, and only then."""
    result = copy.deepcopy(manifest)
    if kind.namespaced:
        result["metadata"].setdefault("namespace", "default")
    else:
        result["metadata"].pop("namespace", None)
    return result


def with_defaults(manifest: Manifest, live: Manifest | None) -> Manifest:
    """Fill in what the API server does: uid, creation time, generation, some status."""
    metadata = manifest["metadata"]
    old = (live or {}).get("metadata", {})
    metadata["creationTimestamp"] = old.get("creationTimestamp", CREATED)
    for field in ("uid", "resourceVersion", "deletionTimestamp"):
        if field in old:
            metadata[field] = old[field]
    if "spec" in manifest:
        same = live is not None and live.get("spec") == manifest["spec"]
        metadata["generation"] = old.get("generation", 0) + (0 if same else 1)
    if manifest["kind"] == "Namespace":
        manifest.setdefault("status", {"phase": "Active"})
        labels = metadata.setdefault("labels", {})
        labels.setdefault("kubernetes.io/metadata.name", metadata["name"])
    if manifest["kind"] == "CustomResourceDefinition":
        conditions = [{"type": t, "status": "True"} for t in ("NamesAccepted", "Established")]
        manifest.setdefault("status", {"conditions": conditions})
    return manifest
