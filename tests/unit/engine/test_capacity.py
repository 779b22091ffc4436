"""Room as the platform's own pods see it, and machines that can run its images."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.capacity import Amount, check, check_architecture
from cto.engine.nodes import Images, listed
from cto.engine.planned import PlannedObject
from cto.objects import Manifest, matches_expression
from cto.result import Check, CheckStatus
from fakes.cluster import FakeCluster
from unit.engine.plans import deployment, planned

TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
NOTHING = Amount()
AMD64 = Images(frozenset({"amd64"}), "/bundle")


def node(
    name: str = "n1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    arch: str = "amd64",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory},
            "nodeInfo": {"architecture": arch},
        },
    }


def room(nodes: list[Manifest], *pods: PlannedObject, needed: Amount = NOTHING) -> Check:
    found = check(FakeCluster(nodes), needed, pods)
    # What is kept of nodes that were seen before decides the same.
    seen = FakeCluster(nodes)
    outlines = listed(seen)
    assert check(seen, needed, pods, nodes=outlines) == found
    assert seen.count("list", "Node") == 0
    return found


# which nodes count


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}, True),
        ({"key": "dedicated", "value": "db"}, True),
        ({"key": "dedicated", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "dedicated", "value": "web"}, False),
        ({"key": "dedicated", "value": "db", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_tainted_node_counts_for_pods_that_tolerate_it(
    toleration: dict[str, str], *, tolerated: bool
) -> None:
    found = room([node(taints=[TAINT])], deployment(tolerations=[toleration]))

    assert (found.status is CheckStatus.PASSED) == tolerated
    assert found.items == (
        ()
        if tolerated
        else ("Deployment web in web: no node takes their pods (taint dedicated=db:NoSchedule)",)
    )


def test_a_preference_of_a_taint_keeps_nobody_away() -> None:
    soft = {**TAINT, "effect": "PreferNoSchedule"}
    assert room([node(taints=[soft])], deployment()).status is CheckStatus.PASSED


def test_a_cordoned_node_takes_nothing() -> None:
    found = room([node(unschedulable=True)], deployment())

    assert found.message.startswith("0 usable nodes")
    assert "taint node.kubernetes.io/unschedulable:NoSchedule" in found.items[0]


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [*terms]}}}}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, ""),
        ({"nodeSelector": {"disk": "hdd"}}, "no label disk=hdd"),
        (
            affinity({"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}),
            "",
        ),
        (
            affinity({"matchExpressions": [{"key": "disk", "operator": "DoesNotExist"}]}),
            "their node affinity",
        ),
        # One of the terms is enough.
        (
            affinity(
                {"matchExpressions": [{"key": "no", "operator": "Exists"}]},
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]},
            ),
            "",
        ),
    ],
)
def test_labels_count_as_the_pods_select_them(spec: dict[str, Any], why: str) -> None:
    found = room([node(labels={"disk": "ssd"})], deployment(**spec))

    assert (found.status is CheckStatus.PASSED) == (not why)
    assert not why or found.items == (f"Deployment web in web: no node takes their pods ({why})",)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"operator": "In", "values": ["4", "5"]}, True),
        ({"operator": "NotIn", "values": ["4"]}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "DoesNotExist"}, False),
        ({"operator": "Gt", "values": ["3"]}, True),
        ({"operator": "Lt", "values": ["3"]}, False),
        ({"operator": "Newer"}, True),
    ],
)
def test_expressions(expression: dict[str, Any], *, matches: bool) -> None:
    assert matches_expression({"key": "size", **expression}, {"size": "4"}) is matches


def test_a_label_that_is_no_number_is_neither_more_nor_less() -> None:
    for word in ("Gt", "Lt"):
        expression = {"key": "size", "operator": word, "values": ["3"]}
        assert not matches_expression(expression, {"size": "big"})
        assert not matches_expression(expression, {})


def test_nodes_of_kwok_among_real_ones_are_no_room() -> None:
    fake = node("fake", cpu="64", memory="256Gi", annotations={"kwok.x-k8s.io/node": "fake"})

    found = room([fake, node(cpu="1")], deployment(cpu="2"))

    assert found.status is CheckStatus.FAILED
    assert found.message.startswith("1 usable nodes have 1 CPU")
    assert room([fake], deployment(cpu="2")).status is CheckStatus.PASSED


# how much


def test_what_the_charts_ask_for_counts_where_it_is_more_than_the_profile_says() -> None:
    found = room([node()], deployment(cpu="1500m", replicas=4), needed=Amount.of("1", "1Gi"))

    assert found.status is CheckStatus.FAILED
    assert found.message.endswith("and 6 CPU and 1 GiB of memory are needed")


def test_a_pod_has_to_fit_on_one_node_though_all_together_have_room() -> None:
    nodes = [node(name, cpu="2") for name in ("n1", "n2", "n3")]

    found = room(nodes, deployment(cpu="3", memory="1Gi"))

    assert found.code == "CTO-1400"
    assert found.items == (
        "Deployment web in web: no node has 3 CPU and 1 GiB of memory left for one of their pods",
    )
    assert found.fix.endswith("if nodes will come, --skip-preflight room.")


def test_what_begins_before_the_containers_counts_if_it_is_more() -> None:
    begin = {"name": "i", "resources": {"requests": {"cpu": "5"}}}
    beside = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}

    assert room([node()], deployment(initContainers=[begin])).status is CheckStatus.FAILED
    assert room([node()], deployment(initContainers=[beside])).status is CheckStatus.PASSED
    three = [beside, {**beside, "name": "t"}]
    assert room([node()], deployment(initContainers=three)).status is CheckStatus.FAILED


def test_what_keeps_many_away_is_told_once() -> None:
    found = room([node(taints=[TAINT])], deployment("a"), deployment("b"))

    who, why = "Deployment a in web, Deployment b in web", "(taint dedicated=db:NoSchedule)"
    assert found.items == (f"{who}: no node takes their pods {why}",)


def test_pods_for_every_node_are_made_for_the_nodes_that_there_are() -> None:
    made = dict(deployment(cpu="64").manifest, kind="DaemonSet")

    assert room([node()], planned(made)).status is CheckStatus.PASSED


# who grows


def pool(version: str) -> list[Manifest]:
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "nodepools.karpenter.sh"},
        "spec": {
            "group": "karpenter.sh",
            "names": {"kind": "NodePool", "plural": "nodepools"},
            "scope": "Cluster",
            "versions": [{"name": version, "served": True}],
        },
    }
    default = {
        "apiVersion": f"karpenter.sh/{version}",
        "kind": "NodePool",
        "metadata": {"name": "default"},
    }
    return [definition, default]


def in_system(kind: str, name: str, api_version: str) -> Manifest:
    metadata = {"name": name, "namespace": "kube-system"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


@pytest.mark.parametrize(
    ("objects", "told"),
    [
        (pool("v1"), "Karpenter (NodePool default)"),
        (pool("v1beta1"), "Karpenter (NodePool default)"),
        ([in_system("ConfigMap", "cluster-autoscaler-status", "v1")], "cluster-autoscaler"),
        (
            [in_system("Deployment", "aws-cluster-autoscaler", "apps/v1")],
            "cluster-autoscaler (Deployment aws-cluster-autoscaler)",
        ),
        ([node("gk3-pool-1", cpu="1")], "GKE Autopilot"),
        (
            [node("f", cpu="1", labels={"eks.amazonaws.com/compute-type": "fargate"})],
            "EKS Fargate",
        ),
        (
            [node("f", cpu="1", labels={"eks.amazonaws.com/compute-type": "auto"})],
            "EKS Auto Mode",
        ),
    ],
)
def test_a_cluster_that_grows_has_no_room_yet_and_that_is_a_warning(
    objects: list[Manifest], told: str
) -> None:
    found = check(FakeCluster(objects), Amount.of("8", "8Gi"))

    assert (found.status, found.code) == (CheckStatus.WARNING, "")
    assert found.message.endswith(f"{told} adds nodes on demand")


def test_definitions_of_karpenter_without_a_pool_make_no_nodes() -> None:
    found = check(FakeCluster(pool("v1")[:1]), Amount.of("8", "8Gi"))

    assert found.status is CheckStatus.FAILED


def test_who_adds_nodes_is_asked_only_where_room_is_short() -> None:
    cluster = FakeCluster([node(), *pool("v1")])

    check(cluster, Amount.of("1", "1Gi"))

    assert cluster.count("list_metadata", "NodePool") == 0


# architecture


def test_nodes_of_another_architecture_are_refused_with_both_names() -> None:
    found = check_architecture(FakeCluster([node(arch="arm64")]), AMD64, [deployment()])

    assert (found.status, found.code) == (CheckStatus.FAILED, "CTO-1476")
    assert found.message == (
        "the images of /bundle are for amd64, and every node that pods may run on is arm64"
    )
    assert found.items == ("Node n1: arm64",)
    assert "--platform linux/arm64" in found.fix


def test_some_nodes_of_another_architecture_are_a_warning_and_no_room() -> None:
    cluster = FakeCluster([node(), node("arm", arch="arm64")])

    found = check_architecture(cluster, AMD64, [deployment()])
    assert (found.status, found.code) == (CheckStatus.WARNING, "")
    assert found.message.endswith("and 1 nodes are arm64")
    assert found.items == ("Node arm: arm64",)

    big = [deployment(cpu="3", replicas=2)]
    assert check(cluster, NOTHING, big).status is CheckStatus.PASSED
    short = check(cluster, NOTHING, big, AMD64)
    assert short.message.startswith("1 usable nodes have 4 CPU")


def test_pods_that_keep_to_the_right_nodes_are_fine() -> None:
    label = {"kubernetes.io/arch": "amd64"}
    cluster = FakeCluster([node(labels=label), node("arm", arch="arm64")])

    found = check_architecture(cluster, AMD64, [deployment(nodeSelector=label)])

    assert (found.status, found.message) == (CheckStatus.PASSED, "amd64")


def test_nodes_that_take_no_pods_of_ours_may_be_of_any_architecture() -> None:
    cluster = FakeCluster([node(), node("arm", arch="arm64", taints=[TAINT])])

    assert check_architecture(cluster, AMD64, [deployment()]).status is CheckStatus.PASSED


def test_a_pod_that_only_the_wrong_nodes_take_is_stuck() -> None:
    disk = {"disk": "ssd"}
    cluster = FakeCluster([node(), node("arm", arch="arm64", labels=disk)])

    found = check(cluster, NOTHING, [deployment(nodeSelector=disk)], AMD64)

    assert found.items == (
        "Deployment web in web: no node takes their pods (architecture arm64, no label disk=ssd)",
    )


def test_images_of_unknown_machines_are_not_held_against_nodes() -> None:
    cluster = FakeCluster([node(arch="riscv64")])

    assert check_architecture(cluster, Images()).status is CheckStatus.SKIPPED
    assert check_architecture(FakeCluster([node(arch="")]), AMD64).status is CheckStatus.PASSED


def test_on_simulated_nodes_no_image_runs() -> None:
    fake = node(arch="arm64", annotations={"kwok.x-k8s.io/node": "fake"})

    assert check_architecture(FakeCluster([fake]), AMD64).status is CheckStatus.PASSED
