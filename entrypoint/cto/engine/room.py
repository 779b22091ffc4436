"""How much the nodes of a cluster can still take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from cto.objects import Manifest
from cto.plan.labels import MANAGED_BY, OWNER
from cto.ports import Cluster
from cto.result import Check, CheckStatus

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"^([0-9.]+)(?:[eE]([-+]?[0-9]+))?([a-zA-Z]*)$")
_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}
_GIB = 1024**3
_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


def quantity(text: str) -> Fraction:
    """Return the number that a Kubernetes quantity like `500m` or `4Gi` stands for.

    Raises:
        ValueError: It is none.
    """
    found = _QUANTITY.match(str(text))
    if not found or found[3] not in _SUFFIXES:
        message = f"{text!r} is no quantity"
        raise ValueError(message)
    return Fraction(found[1]) * Fraction(10) ** int(found[2] or 0) * _SUFFIXES[found[3]]


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

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpu + other.cpu, self.memory + other.memory)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.cpu - other.cpu, self.memory - other.memory)

    def covers(self, other: Amount) -> bool:
        return self.cpu >= other.cpu and self.memory >= other.memory

    def __str__(self) -> str:
        return f"{float(self.cpu):.3g} CPU and {float(self.memory / _GIB):.3g} GiB of memory"


def check(cluster: Cluster, needed: Amount) -> Check:
    """Compare what is free with what is needed; our own pods do not count, they are replaced."""
    nodes = {
        node["metadata"]["name"]: node for node in cluster.list("v1", "Node") if _takes_pods(node)
    }
    namespaces = cluster.list_metadata("v1", "Namespace", labels=f"{MANAGED_BY}={OWNER}")
    ours = {item["metadata"]["name"] for item in namespaces}
    pods = [
        pod
        for pod in cluster.list("v1", "Pod", fields=_ENDED)
        if pod["spec"].get("nodeName") in nodes and pod["metadata"]["namespace"] not in ours
    ]
    allocatable = _sum(
        Amount.read(n.get("status", {}).get("allocatable", {})) for n in nodes.values()
    )
    free = allocatable - _sum(map(_requests, pods))
    fits = free.covers(needed)
    return Check(
        name="room",
        title="Room",
        status=CheckStatus.PASSED if fits else CheckStatus.FAILED,
        message=f"{len(nodes)} usable nodes have {free} left, and {needed} are needed",
        fix="" if fits else "Add nodes, free what is not needed, or choose a smaller profile.",
        code="" if fits else "CTO-1400",
    )


def _sum(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, start=Amount())


def _takes_pods(node: Manifest) -> bool:
    spec = node.get("spec") or {}
    effects = {taint.get("effect") for taint in spec.get("taints") or ()}
    return not spec.get("unschedulable") and not effects & {"NoSchedule", "NoExecute"}


def _requests(pod: Manifest) -> Amount:
    containers = pod["spec"].get("containers") or ()
    return _sum(Amount.read((c.get("resources") or {}).get("requests") or {}) for c in containers)
