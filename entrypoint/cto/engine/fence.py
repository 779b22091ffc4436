"""Lets nothing through to the cluster once the run may not write any more.

A step looks at no flag between two requests, and a process that was stopped for a minute wakes up
in the middle of one. So every write asks first whether the lock is still held, and waits where that
is not known for the moment; what was already sent to the API server cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag

from cto.errors import Cancelled
from cto.objects import Manifest, ObjectRef
from cto.ports import ApiKind, Cluster, Releases, ReleaseSpec, WatchEvent

MayWrite = Callable[[], bool]


@dataclass
class Gate:
    """Says whether the run may write: while the lock is held, and the run goes on.

    Attributes:
        held: Whether nobody else can have the lock now.
        paused: Whether that may come again: the lock could not be renewed, and is not lost.
        wait: Passes a moment of a pause.
    """

    held: MayWrite = lambda: False
    paused: MayWrite = lambda: False
    wait: Callable[[], object] = lambda: None

    def __call__(self) -> bool:
        """Return the answer; during a pause not before its end."""
        while not (held := self.held()) and self.paused():
            self.wait()
        return held

    def held_now(self) -> bool:
        """Return the answer at once."""
        return self.held()

    def shut(self) -> None:
        """Let nothing through any more."""
        self.paused = lambda: False
        self.held = lambda: False


class FencedCluster:
    """A cluster that raises Cancelled instead of writing when `may_write` says no."""

    def __init__(self, cluster: Cluster, may_write: MayWrite) -> None:
        self._cluster = cluster
        self._may_write = may_write

    def server_version(self) -> str:
        return self._cluster.server_version()

    def now(self) -> datetime:
        return self._cluster.now()

    def uid(self) -> str:
        return self._cluster.uid()

    def kinds(self, *, fresh: bool = False) -> Sequence[ApiKind]:
        return self._cluster.kinds(fresh=fresh)

    def unanswered(self) -> Mapping[str, str]:
        return self._cluster.unanswered()

    def get(self, ref: ObjectRef, *, managed_fields: bool = False) -> Manifest | None:
        return self._cluster.get(ref, managed_fields=managed_fields)

    def list(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        return self._cluster.list(
            api_version, kind, namespace=namespace, labels=labels, fields=fields
        )

    def list_metadata(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
    ) -> Sequence[Manifest]:
        return self._cluster.list_metadata(
            api_version, kind, namespace=namespace, labels=labels, fields=fields
        )

    def scan(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        metadata: bool = False,
    ) -> Iterator[Manifest]:
        return self._cluster.scan(
            api_version,
            kind,
            namespace=namespace,
            labels=labels,
            fields=fields,
            metadata=metadata,
        )

    def apply(
        self,
        manifest: Manifest,
        *,
        dry_run: bool = False,
        manager: str = "cto",
        subresource: str = "",
    ) -> Manifest:
        _refuse_unless(self._may_write)
        return self._cluster.apply(
            manifest, dry_run=dry_run, manager=manager, subresource=subresource
        )

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        _refuse_unless(self._may_write)
        return self._cluster.create(manifest, dry_run=dry_run)

    def update(self, manifest: Manifest) -> Manifest:
        _refuse_unless(self._may_write)
        return self._cluster.update(manifest)

    def delete(self, ref: ObjectRef, *, uid: str = "") -> bool:
        _refuse_unless(self._may_write)
        return self._cluster.delete(ref, uid=uid)

    def watch(
        self, api_version: str, kind: str, *, namespace: str, stop: Flag
    ) -> Iterator[WatchEvent]:
        return self._cluster.watch(api_version, kind, namespace=namespace, stop=stop)

    def logs(
        self, namespace: str, pod: str, container: str, *, previous: bool = False, lines: int = 5
    ) -> str:
        return self._cluster.logs(namespace, pod, container, previous=previous, lines=lines)

    def probe(
        self,
        namespace: str,
        service: str,
        port: int | str,
        path: str,
        scheme: str,
        *,
        timeout_s: float = 10.0,
    ) -> int:
        return self._cluster.probe(namespace, service, port, path, scheme, timeout_s=timeout_s)


class FencedReleases:
    """Helm that raises Cancelled instead of changing a release when `may_write` says no."""

    def __init__(self, releases: Releases, may_write: MayWrite) -> None:
        self._releases = releases
        self._may_write = may_write

    def template(
        self,
        spec: ReleaseSpec,
        *,
        kube_version: str,
        api_versions: Sequence[str] = (),
        crds: bool = False,
    ) -> Sequence[Manifest]:
        return self._releases.template(
            spec, kube_version=kube_version, api_versions=api_versions, crds=crds
        )

    def upgrade(
        self, spec: ReleaseSpec, *, timeout_s: float, cancel: Flag | None = None
    ) -> Sequence[Manifest]:
        _refuse_unless(self._may_write)
        return self._releases.upgrade(spec, timeout_s=timeout_s, cancel=cancel)

    def manifest(self, name: str, namespace: str) -> Sequence[Manifest]:
        return self._releases.manifest(name, namespace)

    def hooks(self, name: str, namespace: str) -> Sequence[Manifest]:
        return self._releases.hooks(name, namespace)

    def status(self, name: str, namespace: str) -> str:
        return self._releases.status(name, namespace)

    def chart(self, name: str, namespace: str) -> tuple[str, str, str]:
        return self._releases.chart(name, namespace)

    def rollback(self, name: str, namespace: str, revision: int, *, timeout_s: float) -> None:
        _refuse_unless(self._may_write)
        self._releases.rollback(name, namespace, revision, timeout_s=timeout_s)

    def uninstall(self, name: str, namespace: str, *, timeout_s: float, wait: bool) -> None:
        _refuse_unless(self._may_write)
        self._releases.uninstall(name, namespace, timeout_s=timeout_s, wait=wait)


def _refuse_unless(may_write: MayWrite) -> None:
    if not may_write():
        raise Cancelled
