"""What is found in a cluster: newest records, identities, claims and whose they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from cto.catalog import Component, Records
from cto.engine.listcache import ListCache
from cto.engine.observe import Observer, helm_records, inventory
from cto.engine.state import StateStore
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.plan import labels
from cto.plan.observed import Observed
from fakes.cluster import FakeCluster
from fakes.components import component, config_map
from fakes.desk import node
from fakes.releases import FakeReleases
from fakes.world import crd

WEB = component("web", namespace="web")


def claim(name: str, namespace: str = "web", **metadata: Mapping[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, **metadata},
    }


def observe(
    cluster: FakeCluster, component: Component = WEB, *, for_uninstall: bool = False
) -> Observed:
    observer = Observer(
        cluster=cluster,
        view=ListCache(cluster),
        releases=FakeReleases(cluster),
        state=StateStore(cluster, "1.0.0").load(),
        components=(component,),
        context="here",
    )
    return observer.observe(for_uninstall=for_uninstall)


@pytest.mark.parametrize(
    ("metadata", "release"),
    [
        ({"annotations": {"meta.helm.sh/release-name": "web"}}, "web"),
        ({"labels": {"app.kubernetes.io/instance": "web"}}, "web"),
        ({}, ""),
    ],
)
def test_a_claim_belongs_to_the_release_that_it_names(
    metadata: dict[str, Any], release: str
) -> None:
    """A StatefulSet's claims are not Helm's: only a label tells whose they are."""
    cluster = FakeCluster([claim("data", **metadata), claim("theirs", "elsewhere")])
    (found,) = observe(cluster, for_uninstall=True).claims
    assert (found.ref.name, found.release) == ("data", release)


def test_claims_and_instances_are_looked_for_only_before_a_removal() -> None:
    definition = crd("webs.example.com", "Web")
    definition["metadata"]["labels"] = {labels.COMPONENT: "web"}
    instance = {"apiVersion": "example.com/v1", "kind": "Web"}
    mine = {**instance, "metadata": {"name": "mine", "namespace": "team"}}
    cluster = FakeCluster([definition, mine, claim("data")])
    found = observe(cluster)
    assert (found.claims, found.instances) == ((), {})
    found = observe(cluster, for_uninstall=True)
    ref = ObjectRef("example.com/v1", "Web", "team", "mine")
    assert found.instances == {"webs.example.com": (ref,)}
    assert ref in found.present


def test_what_is_over_is_known_by_its_phase_before_a_removal() -> None:
    definition = crd("webs.example.com", "Web")
    definition["metadata"]["labels"] = {labels.COMPONENT: "web"}
    cluster = FakeCluster([definition])
    for name, phase in {"done": "Succeeded", "works": "Running", "new": ""}.items():
        metadata = {"name": name, "namespace": "team"}
        made = {"apiVersion": "example.com/v1", "kind": "Web", "metadata": metadata}
        cluster.add({**made, "status": {"phase": phase} if phase else {}})
    records = Records(crd="webs.example.com", phases=("Succeeded", "Failed"))
    keeping = WEB.model_copy(update={"records": (records,)})
    found = observe(cluster, keeping, for_uninstall=True)
    assert found.ended == {ObjectRef("example.com/v1", "Web", "team", "done")}
    assert len(found.instances["webs.example.com"]) == 3
    assert observe(cluster, keeping).ended == frozenset()


def test_the_newest_record_counts_by_its_number_and_the_newest_deployed_is_known() -> None:
    cluster = FakeCluster()
    releases = FakeReleases(cluster)
    for revision, status in {2: "deployed", 9: "superseded", 10: "pending-upgrade"}.items():
        releases.put_record("web", "web", revision=revision, status=status)
    releases.put_record("web", "other")
    found = helm_records(cluster)
    assert set(found) == {"web/web", "other/web"}
    newest = found["web/web"]
    assert (newest.revision, newest.status, newest.deployed_revision) == (10, "pending-upgrade", 2)
    assert set(helm_records(cluster, namespace="other")) == {"other/web"}


def test_a_namespace_is_given_only_to_what_has_one() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    unknown = {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "u"}}
    bare = config_map("c", "")
    del bare["metadata"]["namespace"]
    manifests = [{**role, "metadata": {"name": "r", "namespace": "x"}}, unknown, bare]
    found = inventory(FakeCluster(), manifests, "web")
    assert {str(ref) for ref in found} == {
        "ClusterRole r",
        "Unknown u in web",
        "ConfigMap c in web",
    }
    assert list(found) == sorted(found)


def test_a_namespace_that_goes_is_not_there() -> None:
    held = {**config_map("held", "web")}
    held["metadata"] = {**held["metadata"], "finalizers": ["example.com/f"]}
    cluster = FakeCluster([held])
    cluster.delete_quietly(ObjectRef("v1", "Namespace", "", "web"))
    assert "web" not in observe(cluster).namespaces


@pytest.mark.parametrize(
    ("metadata", "simulated"),
    [
        ({"annotations": {"kwok.x-k8s.io/node": "fake"}}, True),
        ({"labels": {"type": "kwok"}}, True),
        ({}, False),
    ],
)
def test_nodes_of_kwok_are_simulated(metadata: dict[str, dict[str, str]], simulated: bool) -> None:  # noqa: FBT001 - a parameter of the table
    one = node("one")
    one["metadata"] = {"name": "one", **metadata}
    found = observe(FakeCluster([one]))
    assert (found.simulated, found.nodes, found.context) == (simulated, 1, "here")
    assert found.simulated_nodes == (("one",) if simulated else ())


def test_one_node_of_kwok_beside_a_real_one_makes_no_cluster_simulated() -> None:
    """What a load test adds to a real cluster must not switch the probes of its programs off."""
    fake = node("fake")
    fake["metadata"] = {"name": "fake", "annotations": {"kwok.x-k8s.io/node": "fake"}}

    found = observe(FakeCluster([fake, node("real")]))

    assert (found.simulated, found.simulated_nodes) == (False, ("fake",))


def test_a_cluster_without_nodes_is_not_simulated() -> None:
    """One that grows on demand has none before the first pod."""
    assert observe(FakeCluster()).simulated is False


def test_ingress_classes_are_those_of_others() -> None:
    def made(name: str, **annotations: str) -> Manifest:
        about = {"name": name, "annotations": annotations}
        return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": about}

    def helm(release: str) -> dict[str, str]:
        prefix = "meta.helm.sh/release-name"
        return {prefix: release, f"{prefix}space": "web"}

    ours = {labels.MANAGED: "true", "owner": "helm", "name": "web", "version": "1"}
    record = {"name": "sh.helm.release.v1.web.v1", "namespace": "web", "labels": ours}
    cluster = FakeCluster(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": record},
            made("ours", **helm("web")),
            made("theirs", **helm("other")),
            made("first", **{"ingressclass.kubernetes.io/is-default-class": "true"}),
        ]
    )
    assert observe(cluster).ingress_classes == {"theirs": False, "first": True}
    cluster.fail_next("list_metadata", ApiError("CTO-1602", "no", status=403), kind="IngressClass")
    assert observe(cluster).ingress_classes == {}
