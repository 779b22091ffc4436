"""Controllers for a fake API server: what they write into the status of new objects."""

from __future__ import annotations

from typing import Any

from cto.objects import Manifest

_AT = "2030-01-02T03:04:05Z"


def make_ready(manifest: Manifest) -> None:
    """Make every workload, Job, claim and pod ready at once."""
    status = _STATUS.get(manifest["kind"])
    if status:
        manifest["status"] = status(manifest)


def _condition(kind: str, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": _AT}


def _deployment(manifest: Manifest) -> dict[str, Any]:
    replicas = manifest["spec"].get("replicas", 1)
    return {
        "observedGeneration": manifest["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [
            {**_condition("Available")},
            {**_condition("Progressing"), "reason": "NewReplicaSetAvailable"},
        ],
    }


def _stateful_set(manifest: Manifest) -> dict[str, Any]:
    replicas = manifest["spec"].get("replicas", 1)
    return {
        "observedGeneration": manifest["metadata"]["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "currentReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
        "currentRevision": "one",
        "updateRevision": "one",
    }


def _daemon_set(manifest: Manifest) -> dict[str, Any]:
    return {
        "observedGeneration": manifest["metadata"]["generation"],
        "desiredNumberScheduled": 1,
        "currentNumberScheduled": 1,
        "updatedNumberScheduled": 1,
        "numberAvailable": 1,
        "numberReady": 1,
        "numberMisscheduled": 0,
    }


def _job(manifest: Manifest) -> dict[str, Any]:
    return {"succeeded": 1, "completionTime": _AT, "conditions": [_condition("Complete")]}


def _claim(manifest: Manifest) -> dict[str, Any]:
    return {"phase": "Bound"}


def _pod(manifest: Manifest) -> dict[str, Any]:
    return {"phase": "Running", "conditions": [_condition("Ready"), _condition("PodScheduled")]}


_STATUS = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
}
