"""Helm, with its records in a fake API server."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from threading import Event as Flag
from typing import Any

from cto import digests
from cto.errors import Cancelled, ToolError
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of
from cto.ports import ReleaseSpec
from fakes.cluster import FakeCluster

# Labels that Helm sets itself:
# https://github.com/helm/helm/blob/v4.1.4/pkg/storage/driver/labels.go
_SYSTEM = ("name", "owner", "status", "version", "createdAt", "modifiedAt")
_HISTORY = 10
_GONE = 'Error: original object NetworkPolicy with the name "web" not found'
_NOT_FOUND = "Error: release: not found"
_RESERVED = "Error: UPGRADE FAILED: user supplied labels contains system reserved label name"
_PENDING = "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress"

Render = Callable[[ReleaseSpec], Sequence[Manifest]]


class Killed(BaseException):
    """Helm and the installer were killed: nothing that runs afterwards may clean up."""


def plain_chart(spec: ReleaseSpec) -> tuple[Manifest, ...]:
    """Render a Deployment, and a ConfigMap that changes with chart and values."""
    digest = digests.of_data([spec.chart.version, spec.values])
    app = {"app.kubernetes.io/instance": spec.name}
    pod = {"metadata": {"labels": app}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{spec.name}-values", "labels": dict(app)},
            "data": {"digest": digest},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": spec.name, "labels": dict(app)},
            "spec": {"replicas": 1, "selector": {"matchLabels": dict(app)}, "template": pod},
        },
    )


class FakeReleases:
    """Implements `ports.Releases`.

    Attributes:
        calls: (verb, release).
        render: Chart name -> what the chart renders; `plain_chart` for all others. Objects with
            the annotation `helm.sh/hook` are hooks.
        crds: Chart name -> CRDs in its crds/ folder.
        during_upgrade: Called while the record is pending.
        charts: Release -> name, version and app version of its chart, as its record has it.
        contradictions: Release -> the status in its record, where the label says another one.
    """

    def __init__(self, cluster: FakeCluster) -> None:
        self.calls: list[tuple[str, str]] = []
        self.render: dict[str, Render] = {}
        self.crds: dict[str, Sequence[Manifest]] = {}
        self.during_upgrade: Callable[[ReleaseSpec], object] = lambda _: None
        self.contradictions: dict[str, str] = {}
        self.charts: dict[str, tuple[str, str, str]] = {}
        self._cluster = cluster
        self._deaths: dict[str, str] = {}
        self._hooks: dict[tuple[str, str], Sequence[Manifest]] = {}
        self._failures: dict[str, str] = {}
        self._stuck: set[str] = set()

    # what tests use

    def die(self, release: str, *, at: str = "pending") -> None:
        """Let the next operation on a release be killed.

        Args:
            release: Its name.
            at: `pending`: the record is written, nothing is applied; `applied`: all objects are
                there, the record is still pending.
        """
        self._deaths[release] = at

    def fail(self, release: str, stderr: str = "Error: UPGRADE FAILED: it broke") -> None:
        """Let the next upgrade of a release fail, as after a failed hook."""
        self._failures[release] = stderr

    def fail_rollback(self, release: str) -> None:
        """Let rollbacks of a release fail, as where an object of the old revision is gone."""
        self._stuck.add(release)

    def put_record(
        self,
        name: str,
        namespace: str,
        *,
        revision: int = 1,
        status: str = "deployed",
        labels: Mapping[str, str] | None = None,
        manifests: Sequence[Manifest] = (),
    ) -> None:
        """Write a record, as Helm does."""
        payload = json.dumps({"namespace": namespace, "manifests": list(manifests)})
        system = {
            "name": name,
            "owner": "helm",
            "status": status,
            "version": str(revision),
            "modifiedAt": "1893553445",
        }
        self._cluster.add(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "helm.sh/release.v1",
                "metadata": {
                    "name": f"sh.helm.release.v1.{name}.v{revision}",
                    "namespace": namespace,
                    "labels": {**(labels or {}), **system},
                },
                "data": {"release": base64.b64encode(payload.encode()).decode()},
            }
        )

    def statuses(self, name: str, namespace: str) -> dict[int, str]:
        """Return the status of each revision."""
        records = self._records(name, namespace)
        return {number: labels_of(record)["status"] for number, record in records.items()}

    def labels(self, name: str, namespace: str) -> dict[str, str]:
        """Return the newest record's labels, without Helm's own."""
        records = self._records(name, namespace)
        return _custom(records[max(records)]) if records else {}

    # ports.Releases

    def template(
        self,
        spec: ReleaseSpec,
        *,
        kube_version: str,
        api_versions: Sequence[str] = (),
        crds: bool = False,
    ) -> Sequence[Manifest]:
        self.calls.append(("template", spec.name))
        return (*(self.crds.get(spec.chart.name, ()) if crds else ()), *self._rendered(spec))

    def upgrade(
        self, spec: ReleaseSpec, *, timeout_s: float, cancel: Flag | None = None
    ) -> Sequence[Manifest]:
        self.calls.append(("upgrade", spec.name))
        records = self._records(spec.name, spec.namespace)
        newest = records[max(records)] if records else None
        status = labels_of(newest)["status"] if newest else ""
        if status.startswith("pending-"):
            raise _failed(_PENDING)
        if any(name in _SYSTEM for name in spec.labels):
            raise _failed(_RESERVED)
        labels = {**_custom(newest), **spec.labels}
        revision = max(records, default=0) + 1
        pending = "pending-upgrade" if records else "pending-install"
        rendered = self._rendered(spec)
        manifests = [m for m in rendered if "helm.sh/hook" not in annotations_of(m)]
        hooks = [m for m in rendered if "helm.sh/hook" in annotations_of(m)]
        self._hooks[spec.name, spec.namespace] = hooks

        def record(status: str) -> None:
            self.put_record(
                spec.name,
                spec.namespace,
                revision=revision,
                status=status,
                labels=labels,
                manifests=manifests,
            )

        chart = spec.chart
        self.charts[spec.name] = (chart.name, chart.version, chart.app_version)
        record(pending)
        self._work(spec, manifests, record, cancel)
        self._supersede(spec.name, spec.namespace, revision)
        record("deployed")
        self.contradictions.pop(spec.name, None)
        return tuple(copy.deepcopy([*manifests, *hooks]))

    def manifest(self, name: str, namespace: str, *, revision: int = 0) -> Sequence[Manifest]:
        self.calls.append(("manifest", name))
        records = self._records(name, namespace)
        wanted = records.get(revision or max(records, default=0))
        return _manifests(wanted) if wanted else ()

    def hooks(self, name: str, namespace: str) -> Sequence[Manifest]:
        self.calls.append(("hooks", name))
        records = self._records(name, namespace)
        return self._hooks.get((name, namespace), ()) if records else ()

    def status(self, name: str, namespace: str) -> str:
        self.calls.append(("status", name))
        records = self._records(name, namespace)
        label = labels_of(records[max(records)])["status"] if records else ""
        return self.contradictions.get(name, label)

    def chart(self, name: str, namespace: str) -> tuple[str, str, str]:
        self.calls.append(("chart", name))
        return self.charts.get(name, ("", "", ""))

    def rollback(self, name: str, namespace: str, revision: int, *, timeout_s: float) -> None:
        self.calls.append(("rollback", name))
        records = self._records(name, namespace)
        if revision not in records:
            raise _failed(_NOT_FOUND)
        goal = records[revision]
        new = max(records) + 1
        manifests, labels = _manifests(goal), _custom(goal)

        def record(status: str) -> None:
            self.put_record(
                name, namespace, revision=new, status=status, labels=labels, manifests=manifests
            )

        record("pending-rollback")
        self._die(name, "pending")
        if name in self._stuck:
            self._supersede(name, namespace, new)
            record("failed")
            raise _failed(_GONE)
        self._delete_missing(namespace, _manifests(records[max(records)]), manifests)
        self._apply(name, namespace, manifests)
        self._die(name, "applied")
        self._supersede(name, namespace, new)
        record("deployed")

    def uninstall(self, name: str, namespace: str, *, timeout_s: float, wait: bool) -> None:
        self.calls.append(("uninstall", name))
        records = self._records(name, namespace)
        if not records:
            return
        newest = max(records)
        manifests = _manifests(records[newest])
        self._set_status(records[newest], "uninstalling")
        self._die(name, "pending")
        self._delete_missing(namespace, manifests, ())
        self._die(name, "applied")
        for record in records.values():
            metadata = record["metadata"]
            self._cluster.remove(ObjectRef("v1", "Secret", namespace, metadata["name"]))

    # inside

    def _rendered(self, spec: ReleaseSpec) -> Sequence[Manifest]:
        made = copy.deepcopy(self.render.get(spec.chart.name, plain_chart)(spec))
        return spec.relocation.manifests(made) if spec.relocation else made

    def _work(
        self,
        spec: ReleaseSpec,
        manifests: Sequence[Manifest],
        record: Callable[[str], None],
        cancel: Flag | None,
    ) -> None:
        self._die(spec.name, "pending")
        self._check_owner(spec, manifests, record)
        before = self._records(spec.name, spec.namespace)
        older = [_manifests(item) for number, item in sorted(before.items())[:-1]]
        if not spec.skip_crds:
            self._apply(spec.name, spec.namespace, self.crds.get(spec.chart.name, ()))
        self._delete_missing(spec.namespace, older[-1] if older else (), manifests)
        self._apply(spec.name, spec.namespace, manifests)
        self.during_upgrade(spec)
        if cancel and cancel.is_set():
            # Helm is asked to end before it is killed, and that is what it leaves.
            record("failed")
            raise Cancelled
        self._die(spec.name, "applied")
        if stderr := self._failures.pop(spec.name, ""):
            record("failed")
            raise _failed(stderr)

    def _check_owner(
        self, spec: ReleaseSpec, manifests: Sequence[Manifest], record: Callable[[str], None]
    ) -> None:
        for manifest in manifests:
            live = self._cluster.peek(_placed(spec.namespace, manifest))
            owner = annotations_of(live).get("meta.helm.sh/release-name") if live else spec.name
            if owner != spec.name:
                record("failed")
                text = f"{manifest['kind']} {manifest['metadata']['name']!r} exists"
                text = f"Error: {text} and cannot be imported: invalid ownership metadata"
                raise _failed(text)

    def _apply(self, name: str, namespace: str, manifests: Sequence[Manifest]) -> None:
        for manifest in manifests:
            owned = copy.deepcopy(manifest)
            owned["metadata"].setdefault("namespace", namespace)
            owned["metadata"].setdefault("annotations", {}).update(
                {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": namespace}
            )
            owned["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "Helm"
            self._cluster.apply_quietly(owned)

    def _delete_missing(
        self, namespace: str, old: Sequence[Manifest], new: Sequence[Manifest]
    ) -> None:
        kept = {_placed(namespace, manifest) for manifest in new}
        for manifest in old:
            ref = _placed(namespace, manifest)
            keep = annotations_of(manifest).get("helm.sh/resource-policy") == "keep"
            if ref not in kept and not keep:
                self._cluster.delete_quietly(ref)

    def _supersede(self, name: str, namespace: str, newest: int) -> None:
        for number, record in sorted(self._records(name, namespace).items()):
            if number <= newest - _HISTORY:
                metadata = record["metadata"]
                self._cluster.remove(ObjectRef("v1", "Secret", namespace, metadata["name"]))
            elif number < newest and labels_of(record)["status"] == "deployed":
                self._set_status(record, "superseded")

    def _set_status(self, record: Manifest, status: str) -> None:
        record["metadata"]["labels"]["status"] = status
        self._cluster.add(record)

    def _records(self, name: str, namespace: str) -> dict[int, Manifest]:
        records = {
            int(labels_of(manifest)["version"]): manifest
            for ref, manifest in self._cluster.everything().items()
            if ref.kind == "Secret"
            and ref.namespace == namespace
            and labels_of(manifest).get("owner") == "helm"
            and labels_of(manifest).get("name") == name
        }
        return dict(sorted(records.items()))

    def _die(self, release: str, moment: str) -> None:
        if self._deaths.get(release) == moment:
            del self._deaths[release]
            raise Killed


def _placed(namespace: str, manifest: Manifest) -> ObjectRef:
    metadata = manifest["metadata"]
    place = metadata.get("namespace", namespace)
    return ObjectRef(manifest["apiVersion"], manifest["kind"], place, metadata["name"])


def _custom(record: Manifest | None) -> dict[str, str]:
    labels = labels_of(record) if record else {}
    return {key: value for key, value in labels.items() if key not in _SYSTEM}


def _manifests(record: Manifest) -> Sequence[Manifest]:
    payload: Any = json.loads(base64.b64decode(record["data"]["release"]))
    return tuple(payload["manifests"])


def _failed(stderr: str) -> ToolError:
    return ToolError("CTO-1500", "helm ended with code 1", details=stderr)
