"""Fields that an API server lets nobody change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cto.objects import Manifest

FIELDS = {
    "Deployment": ("spec.selector",),
    "DaemonSet": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    "Job": ("spec.selector", "spec.template"),
    "Service": ("spec.clusterIP",),
    "PersistentVolumeClaim": ("spec.storageClassName", "spec.accessModes"),
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy"),
    "RoleBinding": ("roleRef",),
    "ClusterRoleBinding": ("roleRef",),
    "Secret": ("type",),
}


def changed(new: Manifest, live: Manifest) -> Iterator[str]:
    """Yield the fields of a kind that the new object has otherwise."""
    fields = FIELDS.get(new["kind"], ())
    if live.get("immutable"):
        fields = (*fields, "data")
    for field in fields:
        wanted = _at(new, field)
        if wanted is not None and _at(live, field) not in (None, wanted):
            yield field


def _at(manifest: Manifest, field: str) -> Any:
    value: Any = manifest
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
