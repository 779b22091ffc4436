"""Backups and restores of the platform, which Velero makes."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

from cto.engine.readiness import Followed, status_dict
from cto.engine.state import NAMESPACE as STATE_NAMESPACE
from cto.errors import DegradedError, UsageError, nearest
from cto.objects import Manifest, ObjectRef
from cto.ports import Clock, Cluster

API = "velero.io/v1"
NAMESPACE = "velero"
# By the chart's name and ours (bundle/components/backup-operator/values.yaml.j2).
SCHEDULE = ObjectRef(API, "Schedule", NAMESPACE, "velero-platform")
_LOCATION = ObjectRef(API, "BackupStorageLocation", NAMESPACE, "default")
_COMPLETED = "Completed"
# https://velero.io/docs/main/api-types/backup and restore
_ENDED = frozenset({_COMPLETED, "PartiallyFailed", "Failed", "FailedValidation"})
_OF_SCHEDULE = "velero.io/schedule-name"
_LOOK_S = 1.0
# So long, and a Velero that works has begun.
_SILENCE_S = 60.0
# What an installation makes anew is not of a backup's day; workflows would begin again.
_LEFT_OUT = (
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "controllerrevisions.apps",
    "cronjobs.batch",
    "customresourcedefinitions.apiextensions.k8s.io",
    "daemonsets.apps",
    "deployments.apps",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "jobs.batch",
    "leases.coordination.k8s.io",
    "networkpolicies.networking.k8s.io",
    "pods",
    "poddisruptionbudgets.policy",
    "replicasets.apps",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "serviceaccounts",
    "services",
    "statefulsets.apps",
    "workflows.argoproj.io",
)
# Their status is what happened; the controller begins none that comes from a backup.
_RUNS = ("coderuns.agents.platform", "docsruns.agents.platform")


@dataclass(frozen=True)
class Operation(Followed):
    """A Backup or a Restore, as the cluster holds it."""

    @property
    def phase(self) -> str:
        """What Velero says; New as long as it has said nothing."""
        return str(self.status.get("phase") or "New")

    @property
    def has_ended(self) -> bool:
        return self.phase in _ENDED

    @property
    def succeeded(self) -> bool:
        return self.phase == _COMPLETED

    @property
    def message(self) -> str:
        """Why it failed, as far as its status tells."""
        told = [str(self.status.get("failureReason") or "")]
        told += [str(problem) for problem in self.status.get("validationErrors") or ()]
        counts = [(key, self.status.get(key)) for key in ("errors", "warnings")]
        told += [f"{key}: {count}" for key, count in counts if count]
        return "; ".join(filter(None, told))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "phase": self.phase,
            "message": self.message,
            "created": self.manifest["metadata"]["creationTimestamp"],
            "completed": str(self.status.get("completionTimestamp") or ""),
            "expires": str(self.status.get("expiration") or ""),
        }


class VeleroBackups:
    """The backups of a platform."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock

    def run(self) -> Operation:
        """Begin a backup of what the schedule backs up.

        Raises:
            DegradedError: CTO-1902, there is no place for it, or it cannot be reached.
        """
        schedule = self._schedule()
        labels = {_OF_SCHEDULE: SCHEDULE.name}
        return self._create("Backup", "manual", schedule["spec"]["template"], labels)

    def restore(self, name: str) -> Operation:
        """Begin to bring back what a backup has: Secrets, settings, custom resources and claims.

        Not what the installer remembers: that is about the cluster that it was in. Nor what is of
        Velero itself: an old place for backups would take the one that it reads from.

        Raises:
            DegradedError: As of `run`.
            UsageError: CTO-1200, there is no such backup, or it has not ended.
        """
        self._schedule()
        found = {backup.name: backup for backup in self.all()}
        backup = found.get(name)
        if backup is None:
            close = nearest(name, found)
            hint = f"Did you mean {close}?" if close else "`cto backup list` shows them."
            raise UsageError("CTO-1200", f"there is no backup {name!r}", hint=hint)
        if backup.phase not in {_COMPLETED, "PartiallyFailed"}:
            text = f"backup {name} is {backup.phase}: there is nothing to restore"
            raise UsageError("CTO-1200", text, hint="`cto backup list` shows what has ended.")
        # Helm's records are those of what is installed now.
        labels = {"matchExpressions": [{"key": "owner", "operator": "NotIn", "values": ["helm"]}]}
        spec = {
            "backupName": name,
            "existingResourcePolicy": "update",
            "excludedResources": [*_LEFT_OUT],
            "excludedNamespaces": [STATE_NAMESPACE, NAMESPACE],
            "restoreStatus": {"includedResources": [*_RUNS]},
            "labelSelector": labels,
        }
        return self._create("Restore", name[:200], spec, {})

    def all(self) -> Sequence[Operation]:
        """Return all backups, the oldest first."""
        found = map(Operation, self._cluster.list(API, "Backup", namespace=NAMESPACE))
        return sorted(
            found, key=lambda one: (one.manifest["metadata"]["creationTimestamp"], one.name)
        )

    def follow(self, operation: Operation) -> Iterator[Operation]:
        """Yield it every second, as it is then, until it has ended.

        Raises:
            DegradedError: CTO-1902, nobody works on it.
            UsageError: CTO-1200, somebody deleted it.
        """
        begun = self._clock.monotonic()
        while not operation.has_ended:
            if operation.phase == "New" and self._clock.monotonic() - begun > _SILENCE_S:
                text = f"Velero has not begun {operation.ref} within {_SILENCE_S:.0f} s"
                raise DegradedError("CTO-1902", text, hint="`cto status` tells whether it works.")
            self._clock.wait(Flag(), _LOOK_S)
            found = self._cluster.get(operation.ref)
            if found is None:
                raise UsageError("CTO-1200", f"{operation.ref} was deleted by somebody")
            operation = Operation(found)
            yield operation

    def _schedule(self) -> Manifest:
        """Return the schedule, if backups have a place that can be reached."""
        schedule = self._cluster.get(SCHEDULE)
        if schedule is None:
            raise DegradedError("CTO-1902", "backups have no place to go to")
        status = status_dict(self._cluster.get(_LOCATION) or {})
        if status.get("phase") == "Unavailable":
            text = "the object store of the backups cannot be used"
            raise DegradedError("CTO-1902", text, details=str(status.get("message") or ""))
        return schedule

    def _create(
        self, kind: str, name: str, spec: Mapping[str, Any], labels: Mapping[str, str]
    ) -> Operation:
        metadata = {
            "name": f"{name}-{secrets.token_hex(4)}",
            "namespace": NAMESPACE,
            "labels": {**labels},
        }
        made = {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": {**spec}}
        return Operation(self._cluster.create(made))
