"""What in a namespace somebody may miss."""

from __future__ import annotations

import pytest

from cto.engine.namespaces import what_is_in
from cto.objects import Manifest, ref_of
from cto.plan.labels import TRACE
from fakes.cluster import FakeCluster
from fakes.workloads import NS, deployment, event, manifest, pod
from fakes.world import crd


def found(*objects: Manifest) -> list[str]:
    return [str(ref) for ref in what_is_in(FakeCluster(objects), NS).refs]


def test_an_empty_namespace_is_empty() -> None:
    assert found() == []


@pytest.mark.parametrize(
    "trace",
    [
        manifest("ConfigMap", "kube-root-ca.crt"),
        manifest("ServiceAccount", "default"),
        manifest("Lease", "leader", api_version="coordination.k8s.io/v1"),
        manifest("Endpoints", "web"),
        manifest("EndpointSlice", "web-x", api_version="discovery.k8s.io/v1"),
        event(deployment(), "Killing", "gone"),
        manifest("ConfigMap", "dead-letter", metadata={"labels": {TRACE: "true"}}),
    ],
    ids=lambda item: str(ref_of(item)),
)
def test_what_kubernetes_puts_everywhere_or_leaves_behind_is_missed_by_nobody(
    trace: Manifest,
) -> None:
    assert found(trace) == []


def test_everything_else_is_named_and_sorted_and_what_is_elsewhere_is_not() -> None:
    elsewhere = manifest("ConfigMap", "theirs", metadata={"namespace": "other"})
    assert found(
        pod(None, name="one"),
        manifest("ConfigMap", "mine"),
        manifest("ServiceAccount", "robot"),
        elsewhere,
    ) == [
        f"ConfigMap mine in {NS}",
        f"Pod one in {NS}",
        f"ServiceAccount robot in {NS}",
    ]


def test_custom_resources_count_as_well() -> None:
    custom = {"apiVersion": "example.com/v1", "kind": "Web"}
    web = {**custom, "metadata": {"name": "w", "namespace": NS}}
    assert found(crd("webs.example.com", "Web"), web) == [f"Web w in {NS}"]


def owned(kind: str, name: str, uid: str, owner: str) -> Manifest:
    """Return an object of a built-in controller."""
    by = {"apiVersion": "apps/v1", "kind": "X", "name": "x", "uid": owner, "controller": True}
    api = "v1" if kind == "Pod" else "apps/v1"
    return manifest(kind, name, api_version=api, metadata={"uid": uid, "ownerReferences": [by]})


def test_what_is_ending_is_missed_by_nobody() -> None:
    """A pod has half a minute to end by default, and the namespace waits for it."""
    ending = manifest("ConfigMap", "going", metadata={"deletionTimestamp": "2030-01-01T00:00:00Z"})
    replicas = owned("ReplicaSet", "web-1", "2", "1")
    assert found(ending, replicas, owned("Pod", "web-1-a", "3", "2")) == []


def test_what_belongs_to_something_that_stays_stays() -> None:
    web = manifest("Deployment", "web", api_version="apps/v1", metadata={"uid": "1"})
    names = found(web, owned("ReplicaSet", "web-1", "2", "1"), owned("Pod", "web-1-a", "3", "2"))
    assert names == [f"Deployment web in {NS}", f"ReplicaSet web-1 in {NS}", f"Pod web-1-a in {NS}"]


def test_whose_owner_is_no_controller_of_kubernetes_may_be_missed() -> None:
    """Its owner may be somewhere else."""
    by = {
        "apiVersion": "example.com/v1",
        "kind": "Web",
        "name": "w",
        "uid": "9",
        "controller": True,
    }
    theirs = manifest("ConfigMap", "theirs", metadata={"ownerReferences": [by]})
    assert found(theirs) == [f"ConfigMap theirs in {NS}"]
