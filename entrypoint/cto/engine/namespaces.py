"""Tells whether a namespace may go."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cto.objects import Manifest, ObjectRef, ref_of
from cto.ports import ApiKind, Cluster

_PARALLEL = 8
# What Kubernetes itself puts into every namespace, or keeps as a trace of what is gone.
_TRACES = {"Event", "Endpoints", "EndpointSlice", "Lease", "PodMetrics"}
_DEFAULTS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
# Their owners are in the same namespace; whose owner is not there, garbage collection takes.
_COLLECTED = {"apps", "batch"}


def what_is_in(cluster: Cluster, namespace: str) -> list[ObjectRef]:
    """Return the objects in a namespace that somebody may miss.

    What is being deleted, or is about to be because its owner is, is none of them: a pod that takes
    its time to end goes with the namespace.
    """
    kinds = [kind for kind in cluster.kinds() if _matters(kind)]

    def listed(kind: ApiKind) -> Sequence[Manifest]:
        return cluster.list_metadata(kind.api_version, kind.kind, namespace=namespace)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = [item for items in pool.map(listed, kinds) for item in items]
    left = {ref_of(item) for item in _staying(found)}
    return sorted(ref for ref in left if (ref.kind, ref.name) not in _DEFAULTS)


def why_kept(cluster: Cluster, namespace: str) -> str:
    """Return what keeps a namespace from going, '' if nothing does."""
    rest = what_is_in(cluster, namespace)
    if not rest:
        return ""
    shown = ", ".join(str(ref) for ref in rest[:3])
    more = f" and {len(rest) - 3} more" if len(rest) > 3 else ""
    return f"kept: {shown}{more}"


def _staying(items: Sequence[Manifest]) -> Sequence[Manifest]:
    """Return those that will still be there when everything has ended that is ending."""
    left = [item for item in items if "deletionTimestamp" not in item["metadata"]]
    while True:
        owners = {item["metadata"].get("uid") for item in left}
        kept = [item for item in left if not (_owners(item) - owners)]
        if len(kept) == len(left):
            return left
        left = kept


def _owners(item: Manifest) -> set[str]:
    """Return the uids of the built-in controllers that an object belongs to."""
    return {
        owner["uid"]
        for owner in item["metadata"].get("ownerReferences") or ()
        if owner.get("controller") and owner["apiVersion"].partition("/")[0] in _COLLECTED
    }


def _matters(kind: ApiKind) -> bool:
    can = {"list", "delete"} <= kind.verbs
    return kind.namespaced and can and kind.kind not in _TRACES
