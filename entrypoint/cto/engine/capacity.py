"""How much the nodes of a cluster can still take, and who would add nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from cto.engine.nodes import Images, architecture_of, name_of, real, runs, takers
from cto.engine.planned import PlannedObject, PodTemplate, workloads
from cto.engine.quotas import pod_amount
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, labels_of, quantity
from cto.plan.labels import MANAGED_BY, OWNER
from cto.ports import Cluster
from cto.result import Check, CheckStatus, Topic

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


ROOM = Topic("room", "Room")
ARCHITECTURE = Topic("architecture", "Architecture of the nodes")
_GIB = 1024**3
_ENDED = "status.phase!=Succeeded,status.phase!=Failed"
# Where nothing is rendered, as nothing changes: a pod without wishes.
PLAIN = PodTemplate(replicas=1, metadata={}, spec={})


@dataclass(frozen=True)
class Amount:
    """CPUs and bytes."""

    cpu: Fraction = Fraction(0)
    memory: Fraction = Fraction(0)

    @classmethod
    def of(cls, cpu: str, memory: str) -> Self:
        return cls(quantity(cpu), quantity(memory))

    @classmethod
    def read(cls, resources: Mapping[str, Any]) -> Self:
        return cls.of(str(resources.get("cpu", "0")), str(resources.get("memory", "0")))

    @classmethod
    def of_pod(cls, spec: Mapping[str, Any]) -> Self:
        """Return what the scheduler reserves for a pod."""
        return cls(*(pod_amount(spec, "requests", name) for name in ("cpu", "memory")))

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cpu - other.cpu, self.memory - other.memory)

    def __mul__(self, number: int) -> Amount:
        return Amount(self.cpu * number, self.memory * number)

    def covers(self, other: Amount) -> bool:
        return self.cpu >= other.cpu and self.memory >= other.memory

    def __str__(self) -> str:
        return f"{float(self.cpu):.3g} CPU and {float(self.memory / _GIB):.3g} GiB of memory"


@dataclass(frozen=True)
class _Pods:
    """The pods of one workload, for people and for the scheduler."""

    name: str
    template: PodTemplate


def check(
    cluster: Cluster,
    needed: Amount,
    objects: Sequence[PlannedObject] = (),
    images: Images | None = None,
    nodes: Sequence[Manifest] | None = None,
) -> Check:
    """Compare what is free with what is needed; our own pods do not count, they are replaced.

    Nodes count as the pods' own tolerations, selectors and affinities see them, and each pod has to
    fit on one of them. A cluster that grows on demand has no room before the first pod asks for it.
    Those that were just seen are not asked for again.
    """
    nodes = real(cluster.list("v1", "Node") if nodes is None else nodes)
    if images is None or not any(runs(node, images) for node in nodes):
        # Where no machine runs the images, that is told by a check of its own.
        images = Images()
    pods = _pods(objects)
    usable = [node for node in nodes if any(takers([node], p.template, images)[0] for p in pods)]
    free = _free(cluster, usable)
    total = _sum(free.values())
    needed = _larger(needed, _sum(_asked(item.template) for item in pods))
    stuck = _stuck_lines(pods, nodes, free, images)
    message = f"{len(usable)} usable nodes have {total} left, and {needed} are needed"
    if total.covers(needed) and not stuck:
        return ROOM.passed(message)
    if grower := grower_of(cluster, nodes):
        return ROOM.warning(
            f"{message}; {grower} adds nodes on demand",
            fix="Nothing, if it may add as many as are needed.",
            items=stuck,
        )
    return ROOM.failed(
        message,
        fix="Add nodes, free what is not needed, or choose a smaller profile; if nodes will come, "
        "--skip-preflight room.",
        items=stuck,
    )


def check_architecture(
    cluster: Cluster,
    images: Images,
    objects: Sequence[PlannedObject] = (),
    nodes: Sequence[Manifest] | None = None,
) -> Check:
    """See that the nodes that pods are placed on can run the images."""
    if not images.architectures:
        return ARCHITECTURE.skipped("for which machines the images are is not known here")
    nodes = real(cluster.list("v1", "Node") if nodes is None else nodes)
    pods = _pods(objects)
    open_ = [node for node in nodes if any(takers([node], p.template, Images())[0] for p in pods)]
    wrong = [node for node in open_ if not runs(node, images)]
    ours = ", ".join(sorted(images.architectures))
    if not wrong:
        return ARCHITECTURE.passed(ours)
    theirs = ", ".join(sorted({architecture_of(node) for node in wrong}))
    everywhere = len(wrong) == len(open_)
    count = "every node that pods may run on is" if everywhere else f"{len(wrong)} nodes are"
    return ARCHITECTURE.check(
        CheckStatus.FAILED if everywhere else CheckStatus.WARNING,
        f"the images of {images.source} are for {ours}, and {count} {theirs}",
        fix=f"Take a bundle that was built with --platform linux/{theirs.partition(',')[0]}, or "
        f"nodes of {ours}."
        if everywhere
        else f"Keep the pods to nodes of {ours}: a taint on the others, or a nodeSelector "
        "kubernetes.io/arch in components.NAME.values.",
        code="CTO-1476" if everywhere else "",
        items=tuple(f"Node {name_of(node)}: {architecture_of(node)}" for node in wrong),
    )


def _pods(objects: Sequence[PlannedObject]) -> Sequence[_Pods]:
    # Those of a DaemonSet are made for the nodes that there are.
    found = [
        _Pods(str(item.ref), template)
        for item, template in workloads(objects)
        if item.ref.kind != "DaemonSet"
    ]
    return found or [_Pods("", PLAIN)]


def _free(cluster: Cluster, nodes: Sequence[Manifest]) -> Mapping[str, Amount]:
    """Return what each node has left, our own pods taken away."""
    namespaces = cluster.list_metadata("v1", "Namespace", labels=f"{MANAGED_BY}={OWNER}")
    ours = {item["metadata"]["name"] for item in namespaces}
    taken: defaultdict[str, Amount] = defaultdict(Amount)
    # Page by page: there may be thousands, and of each a number is all that counts.
    for pod in cluster.scan("v1", "Pod", fields=_ENDED):
        if pod["metadata"]["namespace"] not in ours:
            taken[pod["spec"].get("nodeName", "")] += Amount.of_pod(pod["spec"])
    return {name_of(node): size_of(node) - taken[name_of(node)] for node in nodes}


def size_of(node: Manifest) -> Amount:
    """Return what a node has for pods, be they there or not."""
    return Amount.read(node.get("status", {}).get("allocatable") or {})


def left_on(cluster: Cluster, node: Manifest, *, ignored: str) -> Amount:
    """Return what one node has left. Pods that have the label `ignored` do not count.

    Raises:
        ApiError: Its pods could not be listed.
    """
    pods = cluster.scan("v1", "Pod", fields=f"spec.nodeName={name_of(node)},{_ENDED}")
    taken = _sum(Amount.of_pod(pod["spec"]) for pod in pods if ignored not in labels_of(pod))
    return size_of(node) - taken


def _stuck_lines(
    pods: Sequence[_Pods], nodes: Sequence[Manifest], free: Mapping[str, Amount], images: Images
) -> tuple[str, ...]:
    """Return a line for each reason why pods fit on no node, with all whose reason it is."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for item in pods:
        if item.name and (why := _stuck(item, nodes, free, images)):
            names[why].append(item.name)
    return tuple(f"{', '.join(found)}: {why}" for why, found in names.items())


def _stuck(
    item: _Pods, nodes: Sequence[Manifest], free: Mapping[str, Amount], images: Images
) -> str:
    """Return why a pod fits on no node, '' if it does on one."""
    asked = Amount.of_pod(item.template.spec)
    taking, reasons = takers(nodes, item.template, images)
    if any(free[name_of(node)].covers(asked) for node in taking):
        return ""
    if not taking:
        why = f" ({', '.join(reasons)})" if reasons else ""
        return f"no node takes their pods{why}"
    return f"no node has {asked} left for one of their pods"


def _asked(template: PodTemplate) -> Amount:
    return Amount.of_pod(template.spec) * template.replicas


def _larger(one: Amount, other: Amount) -> Amount:
    return Amount(max(one.cpu, other.cpu), max(one.memory, other.memory))


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, start=Amount())
