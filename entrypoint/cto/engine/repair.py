"""Mends Helm releases that a killed run left in the middle of an operation.

Helm refuses every later upgrade of such a release ("another operation is in progress",
https://github.com/helm/helm/issues/8987). Only the newest record is judged. The caller holds the
cluster's lock and knows that no helm of an earlier run lives.
"""

from __future__ import annotations

from dataclasses import dataclass

from cto.engine.observe import helm_records
from cto.errors import ToolError
from cto.objects import ObjectRef
from cto.plan.observed import ReleaseRecord
from cto.ports import Cluster, Releases


@dataclass(frozen=True)
class Repair:
    """Brings one release into a state from which Helm can upgrade it."""

    cluster: Cluster
    releases: Releases
    timeout_s: float

    def run(self, release: str, namespace: str) -> str:
        """Repair the release if it needs it; return what was done, '' if nothing."""
        record = helm_records(self.cluster, namespace=namespace).get(f"{namespace}/{release}")
        if record is None:
            return ""
        # Helm itself goes by the record, not by its label.
        match self.releases.status(release, namespace) or record.status:
            case "pending-install" if not record.deployed_revision:
                # `rollback` would "succeed" here, and skip the pre-install hooks.
                self._uninstall(record)
                return "removed a half-made installation"
            case "uninstalling":
                self._uninstall(record)
                return "finished an uninstallation"
            case "pending-install" | "pending-upgrade" | "pending-rollback":
                return self._back(record)
            case _:
                return ""

    def _uninstall(self, record: ReleaseRecord) -> None:
        self.releases.uninstall(record.name, record.namespace, timeout_s=self.timeout_s, wait=True)

    def _back(self, record: ReleaseRecord) -> str:
        if not record.deployed_revision:
            name = f"sh.helm.release.v1.{record.name}.v{record.revision}"
            self.cluster.delete(ObjectRef("v1", "Secret", record.namespace, name))
            return "dropped the record of an upgrade that never was"
        revision = record.deployed_revision
        try:
            # The default target, the last revision but one, may itself be pending.
            self.releases.rollback(
                record.name, record.namespace, revision, timeout_s=self.timeout_s
            )
        except ToolError:
            # What the upgrade had deleted already, a rollback cannot patch; it is `failed` then,
            # and Helm upgrades from there, with everything that is to be.
            if self.releases.status(record.name, record.namespace) != "failed":
                raise
            return f"could not be rolled back to revision {revision}, and is gone on with"
        return f"rolled back to revision {revision}"
