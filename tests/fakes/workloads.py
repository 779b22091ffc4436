"""Objects as a cluster in trouble has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cto.objects import Manifest

NS = "argocd"


def manifest(kind: str, name: str, *, api_version: str = "v1", **parts: Any) -> Manifest:
    """Return an object; `metadata` adds to its metadata, all else are its fields."""
    metadata = {"name": name, "namespace": NS, **parts.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def deployment(name: str = "server", *, ready: int = 0, replicas: int = 1) -> Manifest:
    counts = ("replicas", "updatedReplicas")
    return manifest(
        "Deployment",
        name,
        api_version="apps/v1",
        spec={"replicas": replicas},
        status={
            "observedGeneration": 1,
            **dict.fromkeys(counts, replicas),
            "readyReplicas": ready,
            "availableReplicas": ready,
        },
    )


def stateful_set(name: str = "db", *, ready: int = 0) -> Manifest:
    return manifest(
        "StatefulSet",
        name,
        api_version="apps/v1",
        spec={"replicas": 1},
        status={"observedGeneration": 1, "replicas": 1, "readyReplicas": ready},
    )


def job(
    name: str = "hook", *, conditions: Sequence[Mapping[str, Any]] = (), **more: Any
) -> Manifest:
    status = {"conditions": list(conditions), "startTime": "2030-01-02T03:04:05Z"}
    return manifest("Job", name, api_version="batch/v1", spec={}, status=status, **more)


def failed(reason: str = "BackoffLimitExceeded", message: str = "") -> dict[str, str]:
    return {"type": "Failed", "status": "True", "reason": reason, "message": message}


def pod(
    owner: Manifest | None,
    *containers: Mapping[str, Any],
    name: str = "",
    phase: str = "Pending",
    **status: Any,
) -> Manifest:
    """Return a pod of a workload; of a Deployment, by way of a ReplicaSet that nobody watches."""
    metadata: dict[str, Any] = {}
    if owner:
        kind, owner_name = owner["kind"], owner["metadata"]["name"]
        if kind == "Deployment":
            kind, owner_name = "ReplicaSet", f"{owner_name}-6b7f"
            metadata["labels"] = {"pod-template-hash": "6b7f"}
        metadata["ownerReferences"] = [{"kind": kind, "name": owner_name, "controller": True}]
        name = name or f"{owner_name}-x"
    return manifest(
        "Pod",
        name,
        metadata=metadata,
        spec={"volumes": status.pop("volumes", [])},
        status={"phase": phase, "containerStatuses": list(containers), **status},
    )


def waiting(reason: str, message: str = "", *, image: str = "quay.io/x:y", **more: Any) -> Manifest:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "main", "image": image, "state": state, "restartCount": 0, **more}


def ended(code: int, reason: str = "Error", **more: Any) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


def crashing(code: int = 1, reason: str = "Error", *, restarts: int = 3) -> Manifest:
    return waiting("CrashLoopBackOff", restartCount=restarts, lastState=ended(code, reason))


def unscheduled(message: str, reason: str = "Unschedulable") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"conditions": [condition]}


def claim(name: str = "data", *, phase: str = "Pending", **spec: Any) -> Manifest:
    return manifest("PersistentVolumeClaim", name, spec=spec, status={"phase": phase})


def uses(name: str) -> list[dict[str, Any]]:
    return [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]


def storage_class(
    name: str = "local", *, mode: str = "Immediate", default: bool = True
) -> Manifest:
    annotations = {"storageclass.kubernetes.io/is-default-class": str(default).lower()}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": "example",
        "volumeBindingMode": mode,
    }


def event(about: Manifest, reason: str, message: str, *, at: int = 0) -> Manifest:
    kind, name = about["kind"], about["metadata"]["name"]
    return manifest(
        "Event",
        f"{name}.{reason}.{at}".lower(),
        reason=reason,
        message=message,
        involvedObject={"kind": kind, "name": name},
        lastTimestamp=f"2030-01-02T03:05:{at:02d}Z",
    )
