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


def what_is_in(cluster: Cluster, namespace: str) -> list[ObjectRef]:
    """Return the objects in a namespace that somebody may miss."""
    kinds = [kind for kind in cluster.kinds() if _matters(kind)]

    def listed(kind: ApiKind) -> Sequence[Manifest]:
        return cluster.list_metadata(kind.api_version, kind.kind, namespace=namespace)

    with ThreadPoolExecutor(_PARALLEL) as pool:
        found = [ref_of(item) for items in pool.map(listed, kinds) for item in items]
    return sorted({ref for ref in found if (ref.kind, ref.name) not in _DEFAULTS})


def _matters(kind: ApiKind) -> bool:
    can = {"list", "delete"} <= kind.verbs
    return kind.namespaced and can and kind.kind not in _TRACES
