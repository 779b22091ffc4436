"""What nobody looks at: the scheduler or the controllers of Kubernetes are not at work.

They keep Leases as kubelets do, where an installation of Kubernetes does not hide them:
https://kubernetes.io/docs/concepts/architecture/leases/#leader-election
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cto.engine.readiness import conditions_of, key_of, status_dict
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.ports import Cluster

SCHEDULER = "kube-scheduler"
CONTROLLERS = "kube-controller-manager"
# Less is told of nothing: whoever is at work and busy takes a second or two.
PATIENCE_S = 3.0
_NAMESPACE = "kube-system"
_LEASE = ("coordination.k8s.io/v1", "Lease")
_JOBS = "kubernetes.io/job-controller"
# Those whose controller is a part of Kubernetes, and says which generation it has seen.
_OBSERVED = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}


def silent(cluster: Cluster) -> dict[str, str]:
    """Return the programs whose Lease is over, and when they renewed it last.

    What has no Lease, or one that may not be read, is not among them: nobody knows.
    """
    found: dict[str, str] = {}
    for program in (SCHEDULER, CONTROLLERS):
        try:
            lease = cluster.get(ObjectRef(*_LEASE, _NAMESPACE, program)) or {}
        except ApiError as error:
            if not error.is_unauthorized:
                raise
            continue
        spec = lease.get("spec") or {}
        if is_over(spec, cluster.now(), default_s=0.0):
            found[program] = str(spec["renewTime"])
    return found


def is_over(spec: Mapping[str, Any], now: datetime, *, default_s: float) -> bool:
    """Return whether a Lease was not renewed for its duration; False if that cannot be told."""
    age_s = lease_age_s(spec, now)
    duration_s = spec.get("leaseDurationSeconds") or default_s
    return age_s is not None and bool(duration_s) and age_s > duration_s


def lease_age_s(spec: Mapping[str, Any], now: datetime) -> float | None:
    """Return how long ago a Lease was renewed; None if that cannot be told."""
    try:
        return (now - datetime.fromisoformat(spec["renewTime"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None


def unseen_by(manifest: Manifest) -> str:
    """Return who has not looked at an object yet, '' if it has been looked at."""
    metadata, status = manifest["metadata"], status_dict(manifest)
    spec = manifest.get("spec") or {}
    match key_of(manifest):
        case ("", "Pod"):
            # One whose scheduling is held up by a gate has a condition, too.
            untouched = not spec.get("nodeName") and not status.get("containerStatuses")
            is_pending = untouched and status.get("phase", "Pending") == "Pending"
            name = str(spec.get("schedulerName") or "")
            other = name if name != "default-scheduler" else ""
            unscheduled = is_pending and "PodScheduled" not in conditions_of(manifest)
            return (other or SCHEDULER) if unscheduled else ""
        case ("apps", kind) if kind in _OBSERVED:
            lags = metadata.get("generation", 0) > status.get("observedGeneration", 0)
            return CONTROLLERS if lags else ""
        case ("batch", "Job"):
            is_new = not status.get("startTime") and not status.get("conditions")
            # Of somebody else's, as of Kueue, nobody here knows when they look.
            waits = spec.get("suspend") or spec.get("managedBy", _JOBS) != _JOBS
            return CONTROLLERS if is_new and not waits else ""
        case _:
            return ""


def told(program: str, silent_programs: Mapping[str, str]) -> str:
    """Say that nobody looks, and, if that is known, since when the program is silent."""
    whose = {CONTROLLERS: "no controller has", SCHEDULER: "no scheduler has"}
    text = f"{whose.get(program, f'scheduler {program} has not')} looked at it"
    since = silent_programs.get(program)
    return f"{text}: {program} was last heard of at {since}" if since else text
