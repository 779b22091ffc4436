"""What must be there before a simulated cluster is made, and when it is ready."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cto.adapters.kwok.config import NEEDED_TOOLS, OUR_NODES
from cto.errors import CtoError
from cto.objects import Manifest, ObjectRef
from cto.ports import Cluster
from cto.result import Check, CheckStatus, Topic

_KWOK_TOOLS = Topic("kwok-tools", "Programs for a simulated cluster")
_CRDS = ("stages.kwok.x-k8s.io", "logs.kwok.x-k8s.io", "clusterlogs.kwok.x-k8s.io")


class Programs(Protocol):
    """What `adapters.tools.Tools` does, as far as it matters here."""

    def path(self, name: str) -> Path: ...
    def version(self, name: str) -> str: ...
    def is_given(self, name: str) -> bool: ...
    def source(self, name: str) -> str: ...


def tools_check(tools: Programs) -> Check:
    """Tell where each program would come from, without fetching any."""
    lines, problems = [], []
    for name in NEEDED_TOOLS:
        try:
            lines.append(f"{name}: {tools.source(name)}")
        except CtoError as error:
            problems.append(f"{name}: {error.message}")
    return _KWOK_TOOLS.check(
        CheckStatus.FAILED if problems else CheckStatus.PASSED,
        f"{len(problems)} of {len(NEEDED_TOOLS)} programs cannot be had"
        if problems
        else f"{len(NEEDED_TOOLS)} programs",
        fix="Give a folder with these programs: --tools DIR" if problems else "",
        code="CTO-1501" if problems else "",
        items=tuple(problems or lines),
    )


def established(cluster: Cluster) -> bool:
    kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")
    return all(
        _condition(cluster.get(ObjectRef(*kind, name)) or {}, "Established") for name in _CRDS
    )


def all_ready(cluster: Cluster, names: Collection[str]) -> bool:
    """Tell whether these nodes are ready to take pods.

    A node is born with a taint (not-ready) that a controller takes away a moment after the node
    said that it is ready.
    """
    found = by_name(cluster, cluster.list("v1", "Node", labels=OUR_NODES), names)
    return found.keys() >= set(names) and all(
        _condition(found[name], "Ready") and not found[name].get("spec", {}).get("taints")
        for name in names
    )


def by_name(
    cluster: Cluster, ours: Sequence[Manifest], names: Iterable[str]
) -> dict[str, Manifest]:
    """Return nodes by name: those with our label, and those of the names that lost it."""
    found = {item["metadata"]["name"]: item for item in ours}
    for name in names:
        if name not in found and (node := cluster.get(ObjectRef("v1", "Node", "", name))):
            found[name] = node
    return found


def _condition(manifest: Mapping[str, Any], name: str) -> bool:
    conditions = manifest.get("status", {}).get("conditions") or ()
    return any(c["type"] == name and c["status"] == "True" for c in conditions)
