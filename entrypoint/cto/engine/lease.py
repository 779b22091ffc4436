"""The Lease that is the lock of a cluster: what is written in it, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag

from cto.errors import ApiError, CtoError, LockedError
from cto.holder import Containers, Holder, Machine
from cto.objects import Manifest, ObjectRef
from cto.ports import Cluster

NAMESPACE = "cto-system"
NAME = "cto-lock"
LEASE = ("coordination.k8s.io/v1", "Lease")
MANAGED_BY = {"app.kubernetes.io/managed-by": "cto"}
_AGAIN = "Run the same command again: it looks at what the other run did, and goes on from there."


def record(
    ref: ObjectRef, old: Manifest, holder: str, *, now: datetime, duration_s: int
) -> Manifest:
    """Return the Lease as its holder writes it; '' gives it back."""
    moment = f"{now:%Y-%m-%dT%H:%M:%S.%f}Z"
    spec = dict(old.get("spec") or {})
    if spec.get("holderIdentity") != holder:
        spec["acquireTime"] = moment
        spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
    spec |= {"holderIdentity": holder, "leaseDurationSeconds": duration_s, "renewTime": moment}
    if not holder:
        del spec["holderIdentity"]
    new = {"name": ref.name, "namespace": ref.namespace, "labels": dict(MANAGED_BY)}
    return {
        "apiVersion": ref.api_version,
        "kind": ref.kind,
        "metadata": old.get("metadata", new),
        "spec": spec,
    }


def locked(ref: ObjectRef, lease: Manifest) -> LockedError:
    """Return the error of a lock that another one has."""
    look = f"`kubectl get lease {ref.name} -n {ref.namespace} -o yaml -w`"
    if process := Holder.parse(holder_of(lease)).look:
        look = f"{process}, or {look}"
    return LockedError(
        "CTO-2000",
        described(lease),
        details=f"It renewed it at {renewed(lease)}.",
        hint=f"Wait for it. To see that it is alive: {look} (renewTime moves).",
    )


def unknown_loss(details: str) -> CtoError:
    """Return the error of a lock that was lost, nobody knows why."""
    message = "the lock of the cluster was lost; everything was stopped where it was"
    return LockedError("CTO-2001", message, details=details)


def taken_loss(reason: str, hint: str = _AGAIN) -> Callable[[str], CtoError]:
    """Return what makes the error of a lock that another one has, or had."""

    def loss(details: str) -> CtoError:
        message = f"{reason}; everything was stopped where it was"
        return LockedError("CTO-2001", message, details=details, hint=hint)

    return loss


def silent_loss(reason: str, refusal: str) -> Callable[[str], CtoError]:
    """Return what makes the error of a lock that could not be renewed."""

    def loss(details: str) -> CtoError:
        told = "\n".join(filter(None, (refusal, details)))
        message = f"{reason}; everything was stopped where it was"
        hint = (
            "No other run is known to be at work. See that the API server answers (`kubectl get "
            "--raw /readyz`), then run the same command again: it goes on from here."
        )
        return ApiError("CTO-1601", message, details=told, hint=hint)

    return loss


class Loss(Flag):
    """Set when the lock is lost.

    Attributes:
        error: Makes the error that says why, with details.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: Callable[[str], CtoError] = unknown_loss


@dataclass(frozen=True)
class LockHistory:
    """How often the lock was taken or given back, and whether somebody has it now."""

    count: int
    taken: bool


def lock_history(cluster: Cluster, *, namespace: str = NAMESPACE, name: str = NAME) -> LockHistory:
    """Return how often the lock changed hands: whoever takes it sees if others had it meanwhile."""
    lease = cluster.get(ObjectRef(*LEASE, namespace, name)) or {}
    return LockHistory(
        int(lease.get("spec", {}).get("leaseTransitions") or 0), bool(holder_of(lease))
    )


def at_work(cluster: Cluster, machine: Machine, containers: Callable[[], Containers]) -> str:
    """Return who has the lock now, in a line, and '' if that is nobody who lives, or may live.

    Nothing is waited for: whoever reads the times can tell how sure that is.
    """
    lease: Manifest = {}
    # Who may not look at it is not told of it.
    with suppress(ApiError):
        lease = cluster.get(ObjectRef(*LEASE, NAMESPACE, NAME)) or {}
    holder = holder_of(lease)
    if not holder or Holder.parse(holder).lives(machine, containers()) is False:
        return ""
    return f"{described(lease)}, and renewed it at {renewed(lease)}"


def holder_of(lease: Manifest) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def renewed(lease: Manifest) -> str:
    return str(lease.get("spec", {}).get("renewTime") or "an unknown time")


def described(lease: Manifest) -> str:
    who = Holder.parse(holder_of(lease)).described
    since = lease.get("spec", {}).get("acquireTime", "an unknown time")
    return f"{who} holds the lock of this cluster since {since}"
