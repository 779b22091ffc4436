"""Deployments may change to Recreate, which the API server would refuse otherwise."""

from __future__ import annotations

from cto.engine.immutable import prepare
from cto.objects import Manifest, ObjectRef
from fakes.cluster import FakeCluster

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")


def deployment(**strategy: object) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "strategy": strategy},
    }


def living(**strategy: object) -> FakeCluster:
    manifest = deployment(**strategy)
    return FakeCluster([{**manifest, "metadata": {"name": "web", "namespace": "shop"}}])


def test_rolling_updates_give_way_with_all_their_fields() -> None:
    cluster = living(type="RollingUpdate", rollingUpdate={"maxSurge": 1})
    prepare(cluster, [deployment(type="Recreate")], "shop")
    found = cluster.everything()[WEB]["spec"]
    assert found["strategy"] == {"type": "Recreate"}
    assert found["replicas"] == 2


def test_nothing_is_written_where_nothing_is_in_the_way() -> None:
    for live, wanted in (("Recreate", "Recreate"), ("RollingUpdate", "RollingUpdate")):
        cluster = living(type=live)
        prepare(cluster, [deployment(type=wanted)], "shop")
        assert cluster.count("update") == 0


def test_a_deployment_that_is_still_to_come_needs_no_preparation() -> None:
    cluster = FakeCluster()
    prepare(cluster, [deployment(type="Recreate")], "shop")
    assert cluster.count("update") == 0
