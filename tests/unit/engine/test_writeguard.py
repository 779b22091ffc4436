"""What a run that lost its lock, or was interrupted, can still do: read."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag
from typing import Any

import pytest

from cto.engine.writeguard import (
    CLUSTER_READS,
    RELEASES_READS,
    Gate,
    guarded_cluster,
    guarded_releases,
)
from cto.errors import Cancelled
from cto.objects import ObjectRef
from cto.ports import Cluster, Releases, ReleaseSpec
from fakes.cluster import FakeCluster
from fakes.components import chart
from fakes.releases import FakeReleases

REF = ObjectRef("v1", "ConfigMap", "default", "a")
MANIFEST: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "a", "namespace": "default"},
}
SPEC = ReleaseSpec(name="web", namespace="default", chart=chart("web"), values={})

CLUSTER_WRITES: dict[str, Callable[[Cluster], object]] = {
    "apply": lambda cluster: cluster.apply(MANIFEST),
    "create": lambda cluster: cluster.create({**MANIFEST, "metadata": {"name": "b"}}),
    "update": lambda cluster: cluster.update(dict(cluster.get(REF) or {})),
    "delete": lambda cluster: cluster.delete(REF),
}
READS_OF_CLUSTER: dict[str, Callable[[Cluster], object]] = {
    "get": lambda cluster: cluster.get(REF),
    "list": lambda cluster: cluster.list("v1", "ConfigMap"),
    "list_metadata": lambda cluster: cluster.list_metadata("v1", "ConfigMap"),
    "kinds": lambda cluster: cluster.kinds(),
    "uid": lambda cluster: cluster.uid(),
    "server_version": lambda cluster: cluster.server_version(),
    "watch": lambda cluster: next(
        iter(cluster.watch("v1", "ConfigMap", namespace="default", stop=Flag()))
    ),
    "probe": lambda cluster: cluster.probe("default", "web", 80, "/", "http"),
}
HELM_WRITES: dict[str, Callable[[Releases], object]] = {
    "upgrade": lambda helm: helm.upgrade(SPEC, timeout_s=1),
    "rollback": lambda helm: helm.rollback("web", "default", 1, timeout_s=1),
    "uninstall": lambda helm: helm.uninstall("web", "default", timeout_s=1, wait=True),
}
HELM_READS: dict[str, Callable[[Releases], object]] = {
    "manifest": lambda helm: helm.manifest("web", "default"),
    "hooks": lambda helm: helm.hooks("web", "default"),
    "template": lambda helm: helm.template(SPEC, kube_version="v1.34.4"),
}


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    made.apply_quietly(MANIFEST)
    return made


@pytest.mark.parametrize("write", CLUSTER_WRITES.values(), ids=CLUSTER_WRITES)
def test_writes_pass_while_the_lock_is_held_and_not_after(
    cluster: FakeCluster, write: Callable[[Cluster], object]
) -> None:
    gate = Gate(lambda: True)
    assert write(guarded_cluster(cluster, gate)) is not None
    cluster.apply_quietly(MANIFEST)
    before = cluster.list("v1", "ConfigMap")
    gate.shut()
    with pytest.raises(Cancelled):
        write(guarded_cluster(cluster, gate))
    assert cluster.list("v1", "ConfigMap") == before


@pytest.mark.parametrize("read", READS_OF_CLUSTER.values(), ids=READS_OF_CLUSTER)
def test_reading_is_always_allowed(cluster: FakeCluster, read: Callable[[Cluster], object]) -> None:
    assert read(guarded_cluster(cluster, Gate())) is not None


def test_logs_are_read_as_well(cluster: FakeCluster) -> None:
    assert guarded_cluster(cluster, Gate()).logs("default", "p", "c") == cluster.logs(
        "default", "p", "c"
    )


@pytest.mark.parametrize("write", HELM_WRITES.values(), ids=HELM_WRITES)
def test_helm_changes_releases_only_while_the_lock_is_held(
    cluster: FakeCluster, write: Callable[[Releases], object]
) -> None:
    releases = FakeReleases(cluster)
    gate = Gate(lambda: True)
    fenced = guarded_releases(releases, gate)
    fenced.upgrade(SPEC, timeout_s=1)
    write(fenced)
    before = cluster.list("v1", "Secret")
    gate.shut()
    with pytest.raises(Cancelled):
        write(fenced)
    assert cluster.list("v1", "Secret") == before


@pytest.mark.parametrize("read", HELM_READS.values(), ids=HELM_READS)
def test_helm_may_always_be_asked(cluster: FakeCluster, read: Callable[[Releases], object]) -> None:
    releases = FakeReleases(cluster)
    guarded_releases(releases, Gate(lambda: True)).upgrade(SPEC, timeout_s=1)
    assert read(guarded_releases(releases, Gate())) is not None


@pytest.mark.parametrize(
    ("port", "reads", "writes"),
    [(Cluster, CLUSTER_READS, CLUSTER_WRITES), (Releases, RELEASES_READS, HELM_WRITES)],
)
def test_every_method_is_known_as_a_read_or_a_write(
    port: type, reads: frozenset[str], writes: dict[str, object]
) -> None:
    methods = {name for name in vars(port) if not name.startswith("_")}
    assert methods == reads | set(writes)


def test_nothing_may_write_before_the_lock_is_held() -> None:
    assert not Gate()()


def test_a_pause_lets_a_write_wait_until_the_lock_is_known_to_be_ours(cluster: FakeCluster) -> None:
    answers = iter([False, False, True])
    waits: list[int] = []
    gate = Gate(
        held=lambda: next(answers), paused=lambda: True, wait=lambda: waits.append(len(waits))
    )
    guarded_cluster(cluster, gate).delete(REF)
    assert waits == [0, 1]
    assert cluster.get(REF) is None


def test_a_pause_that_ends_badly_lets_nothing_be_written(cluster: FakeCluster) -> None:
    gate = Gate(held=lambda: False, paused=lambda: True)
    gate.wait = gate.shut
    with pytest.raises(Cancelled):
        guarded_cluster(cluster, gate).delete(REF)
    assert cluster.get(REF) is not None
