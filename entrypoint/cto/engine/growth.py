"""Recognises clusters that get nodes when pods wait for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, labels_of
from cto.ports import Cluster

_SYSTEM = "kube-system"
# It is written by every cluster-autoscaler, also by those that a provider runs out of sight.
# https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md#what-events-are-emitted-by-ca
_STATUS = ObjectRef("v1", "ConfigMap", _SYSTEM, "cluster-autoscaler-status")
_KARPENTER = ("karpenter.sh/v1", "karpenter.sh/v1beta1")
# Pods get machines of their own there: label -> who makes them.
_LABELS = {
    ("eks.amazonaws.com/compute-type", "fargate"): "EKS Fargate",
    ("eks.amazonaws.com/compute-type", "auto"): "EKS Auto Mode",
    ("type", "virtual-kubelet"): "virtual kubelet",
}


def grower_of(cluster: Cluster, nodes: Sequence[Manifest]) -> str:
    """Return who would add nodes, '' if nobody is known to. Asked only where room is short."""
    for look in (_by_nodes(nodes), _karpenter(cluster), _autoscaler(cluster)):
        if look:
            return look
    return ""


def _by_nodes(nodes: Sequence[Manifest]) -> str:
    for node in nodes:
        # The only mark that they have: https://cloud.google.com/kubernetes-engine/docs/concepts/autopilot-overview
        if node["metadata"]["name"].startswith("gk3-"):
            return "GKE Autopilot"
        for (key, value), name in _LABELS.items():
            if labels_of(node).get(key) == value:
                return name
    return ""


def _karpenter(cluster: Cluster) -> str:
    for api_version in _KARPENTER:
        with suppress(ApiError):
            pools = cluster.list_metadata(api_version, "NodePool")
            if pools:
                names = ", ".join(pool["metadata"]["name"] for pool in pools)
                return f"Karpenter (NodePool {names})"
    return ""


def _autoscaler(cluster: Cluster) -> str:
    with suppress(ApiError):
        if cluster.get(_STATUS):
            return "cluster-autoscaler"
    with suppress(ApiError):
        for item in cluster.list_metadata("apps/v1", "Deployment", namespace=_SYSTEM):
            if "cluster-autoscaler" in item["metadata"]["name"]:
                return f"cluster-autoscaler (Deployment {item['metadata']['name']})"
    return ""
