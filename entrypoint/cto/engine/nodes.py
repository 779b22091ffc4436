"""Nodes as the scheduler sees them for one pod: taints, selectors, architecture.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cto.engine.planned import PodTemplate
from cto.engine.readiness import conditions_of
from cto.objects import Manifest, annotations_of, is_simulated, labels_of, matches_expression
from cto.ports import Cluster

_CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_KEEPS_AWAY = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Images:
    """For which machines the platform's images are.

    Attributes:
        architectures: `amd64` and the like; empty if nobody knows.
        source: Who says so: the bundle, or the lock.
    """

    architectures: frozenset[str] = frozenset()
    source: str = ""


def listed(cluster: Cluster, *, status: bool = True) -> tuple[Manifest, ...]:
    """Return all nodes, page by page, and of each what is looked at here.

    A node carries the names of all images that it ever pulled: thousands of nodes are megabytes.

    Args:
        cluster: Who is asked.
        status: Whether more than names, labels and annotations is needed.
    """
    return tuple(_outline(node) for node in cluster.scan("v1", "Node", metadata=not status))


def _outline(node: Manifest) -> Manifest:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    info = status.get("nodeInfo") or {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name_of(node),
            "labels": labels_of(node),
            "annotations": annotations_of(node),
        },
        "spec": {key: spec[key] for key in ("taints", "unschedulable") if key in spec},
        "status": {
            "allocatable": status.get("allocatable") or {},
            "conditions": status.get("conditions") or (),
            "nodeInfo": {key: info[key] for key in ("architecture",) if key in info},
        },
    }


def name_of(node: Manifest) -> str:
    return str(node["metadata"]["name"])


def is_ready(node: Manifest) -> bool:
    """Tell what its kubelet said last of itself."""
    return conditions_of(node).get("Ready", {}).get("status") == "True"


def architecture_of(node: Manifest) -> str:
    """Return `amd64` and the like, '' if the node does not tell."""
    info = node.get("status", {}).get("nodeInfo") or {}
    return str(info.get("architecture") or labels_of(node).get("kubernetes.io/arch", ""))


def runs(node: Manifest, images: Images) -> bool:
    """Tell whether a node's machine can run the images, as far as anybody knows."""
    if is_simulated(node):
        return True
    architecture = architecture_of(node)
    return not images.architectures or not architecture or architecture in images.architectures


def real(nodes: Sequence[Manifest]) -> Sequence[Manifest]:
    """Return the nodes on which programs run; all of them where none does."""
    return [node for node in nodes if not is_simulated(node)] or nodes


def keeps_away(node: Manifest, template: PodTemplate) -> str:
    """Return why the pods cannot be placed on the node, '' if they can."""
    spec = template.spec
    for taint in _taints(node):
        if not any(_tolerates(one, taint) for one in spec.get("tolerations") or ()):
            return _taint_text(taint)
    return _selection(node, spec)


def _taints(node: Manifest) -> Iterator[Mapping[str, Any]]:
    spec = node.get("spec") or {}
    if spec.get("unschedulable"):
        yield _CORDONED
    yield from (t for t in spec.get("taints") or () if t.get("effect") in _KEEPS_AWAY)


def _taint_text(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"taint {taint.get('key', '')}{value}:{taint['effect']}"


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    effect, key = toleration.get("effect"), toleration.get("key")
    if effect and effect != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return not key or key == taint.get("key")
    return key == taint.get("key") and toleration.get("value", "") == taint.get("value", "")


def _selection(node: Manifest, spec: Mapping[str, Any]) -> str:
    """Return why the pods' own wishes leave the node out, '' if they do not."""
    labels = labels_of(node)
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"no label {key}={value}"
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = (affinity or {}).get("nodeSelectorTerms")
    fields = {"metadata.name": name_of(node)}
    taken = not terms or any(
        all(matches_expression(one, labels) for one in term.get("matchExpressions") or ())
        and all(matches_expression(one, fields) for one in term.get("matchFields") or ())
        for term in terms
    )
    return "" if taken else "their node affinity"


def takers(
    nodes: Sequence[Manifest], template: PodTemplate, images: Images
) -> tuple[Sequence[Manifest], Collection[str]]:
    """Return the nodes that take the pods, and why the others do not."""
    reasons = {
        name_of(node): keeps_away(node, template)
        or ("" if runs(node, images) else f"architecture {architecture_of(node)}")
        for node in nodes
    }
    return (
        [node for node in nodes if not reasons[name_of(node)]],
        dict.fromkeys(reason for reason in reasons.values() if reason),
    )
