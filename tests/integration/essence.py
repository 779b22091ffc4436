"""What an installation leaves in a cluster, without what time and chance decide.

Two runs that did the same have the same essence, on the same cluster or on another one.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.engine.history import MARK
from cto.engine.observe import helm_records
from cto.objects import Manifest, ObjectRef, annotations_of, labels_of, ref_of
from cto.plan import labels

Essence: TypeAlias = dict[str, Any]

# The control plane's own (Service `kubernetes` has its port), and what counts, names or times
# things by chance.
_SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
_LEFT_OUT = frozenset(
    {
        "ComponentStatus",
        "ControllerRevision",
        "Endpoints",
        "EndpointSlice",
        "Event",
        "IPAddress",
        "Lease",
        "Node",
        "Stage",
    }
)
_CHANCE_LABELS = frozenset(
    {"batch.kubernetes.io/controller-uid", "controller-uid", "createdAt", "modifiedAt", "version"}
)
_CHANCE_ANNOTATIONS = (
    "deployment.kubernetes.io/",
    "deprecated.daemonset.template.generation",
    "pv.kubernetes.io/",
    "volume.kubernetes.io/selected-node",
)
_COUNTS = ("phase", "numberReady", "readyReplicas", "replicas", "succeeded", "updatedReplicas")
_SETTLE_S = 30.0


def essence(cluster: KubeCluster) -> Essence:
    """Return every object by its name, and what is to be the same in it."""
    result: Essence = {}
    pods: Counter[str] = Counter()
    for item in _objects(cluster):
        ref = ref_of(item)
        if _is_systems(ref) or item["kind"] in _LEFT_OUT:
            continue
        if item["kind"] == "Pod":
            pods[f"Pods of {ref.namespace}/{_owners(item)}, {_phase(item)}"] += 1
        elif item.get("type") != "helm.sh/release.v1" and not _is_past(item):
            result[_key(item)] = _stable(item)
    return result | pods | _releases(cluster)


def settled(cluster: KubeCluster) -> Essence:
    """Return the essence as soon as the controllers are done."""
    before: Essence = {}
    found = essence(cluster)
    while found != before:
        time.sleep(0.5)
        before, found = found, essence(cluster)
    return found


def generated(cluster: KubeCluster) -> dict[str, Any]:
    """Return the secrets that were made once, with their values."""
    found = cluster.list("v1", "Secret", labels=f"{labels.MANAGED_BY}={labels.OWNER}")
    return {str(ref_of(item)): item.get("data") for item in found}


def assert_same(cluster: KubeCluster, expected: Mapping[str, Any]) -> None:
    """See the cluster come to an essence: controllers finish what the installer does not wait for.

    Pods that go, counts in a status: seconds, and no difference stays.
    """
    end = time.monotonic() + _SETTLE_S
    while (differences := _differences(expected, essence(cluster))) and time.monotonic() < end:
        time.sleep(0.5)
    assert not differences, "\n".join(["(- expected, + found)", *differences])


def versions(cluster: KubeCluster, *, without: Sequence[str] = ()) -> dict[str, str]:
    """Return the resourceVersion of every object: none changes as long as nobody writes."""
    return {
        _key(item): str(item["metadata"].get("resourceVersion"))
        for item in _objects(cluster)
        if item["kind"] not in without
    }


def _objects(cluster: KubeCluster) -> Iterator[Manifest]:
    kinds = [kind for kind in cluster.kinds() if {"list", "get"} <= kind.verbs]
    versions_of: dict[tuple[str, str], list[str]] = {}
    for kind in kinds:
        group = kind.api_version.rpartition("/")[0]
        versions_of.setdefault((group, kind.kind), []).append(kind.api_version)
    for (_, name), api_versions in sorted(versions_of.items()):
        yield from cluster.list(min(api_versions), name)


def _key(item: Manifest) -> str:
    ref = ref_of(item)
    if item["kind"] == "PersistentVolume":
        claim = item["spec"].get("claimRef", {})
        return f"PersistentVolume for {claim.get('namespace')}/{claim.get('name')}"
    return f"{ref.api_version} {ref.kind} {ref.namespace}/{ref.name}"


def _releases(cluster: KubeCluster) -> Essence:
    return {
        f"Helm release {key}": {
            "status": record.status,
            "deployed": record.deployed_revision == record.revision,
            "labels": _without(record.labels, _CHANCE_LABELS),
        }
        for key, record in helm_records(cluster).items()
    }


def _is_systems(ref: ObjectRef) -> bool:
    is_api = (ref.kind, ref.namespace, ref.name) == ("Service", "default", "kubernetes")
    return is_api or ref.namespace in _SYSTEM or ref.name in _SYSTEM


def _is_past(item: Manifest) -> bool:
    """Revisions that a Deployment keeps to go back to, and the runs of cto that there were."""
    run = MARK in labels_of(item)
    return run or (item["kind"] == "ReplicaSet" and not item["spec"].get("replicas"))


def _stable(item: Manifest) -> Essence:
    metadata = item["metadata"]
    annotations = {
        key: value
        for key, value in annotations_of(item).items()
        if not key.startswith(_CHANCE_ANNOTATIONS)
    }
    content = _CONTENT.get(item["kind"])
    rest = {k: v for k, v in item.items() if k not in {"metadata", "status"}}
    return {
        "labels": _without(labels_of(item), _CHANCE_LABELS),
        "annotations": annotations,
        "finalizers": metadata.get("finalizers"),
        "owners": _owners(item),
        "going": "deletionTimestamp" in metadata,
        "status": {k: v for k, v in (item.get("status") or {}).items() if k in _COUNTS},
        **(content(rest) if content else rest),
    }


def _service(item: Manifest) -> Manifest:
    spec = _without(item["spec"], {"clusterIP", "clusterIPs", "healthCheckNodePort"})
    ports = [_without(port, {"nodePort"}) for port in spec.get("ports", ())]
    return {**item, "spec": {**spec, "ports": ports}}


def _job(item: Manifest) -> Manifest:
    spec = _without(item["spec"], {"selector"})
    template = spec["template"]
    found = _without(labels_of(template), _CHANCE_LABELS)
    return {**item, "spec": {**spec, "template": {**template, "metadata": {"labels": found}}}}


def _claim(item: Manifest) -> Manifest:
    return {**item, "spec": _without(item["spec"], {"volumeName"})}


def _volume(item: Manifest) -> Manifest:
    return {"capacity": item["spec"].get("capacity")}


def _secret(item: Manifest) -> Manifest:
    return {**item, "data": sorted(item.get("data") or {})}


def _config_map(item: Manifest) -> Manifest:
    data = item.get("data") or {}
    # The cluster's own certificate, and how long the last run took.
    if {"ca.crt"} == data.keys():
        return {}
    if "state.json" in data:
        found = json.loads(data["state.json"])
        return {"state": found if "writer" in found else "journal"}
    return item


_CONTENT: dict[str, Callable[[Manifest], Manifest]] = {
    "ConfigMap": _config_map,
    "Job": _job,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Secret": _secret,
    "Service": _service,
    "ServiceAccount": lambda item: _without(item, {"secrets"}),
}


def _owners(item: Manifest) -> str:
    owners = item["metadata"].get("ownerReferences") or ()
    return ", ".join(f"{owner['kind']} {owner['name']}" for owner in owners)


def _phase(pod: Manifest) -> str:
    going = "deletionTimestamp" in pod["metadata"]
    return "going" if going else str(pod.get("status", {}).get("phase"))


def _without(data: Mapping[str, Any], keys: frozenset[str] | set[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    lines = [f"- {key}" for key in sorted(expected.keys() - found.keys())]
    lines += [f"+ {key}" for key in sorted(found.keys() - expected.keys())]
    for key in sorted(expected.keys() & found.keys()):
        if expected[key] != found[key]:
            lines += [f"- {key}: {_part(expected[key], found[key])}"]
            lines += [f"+ {key}: {_part(found[key], expected[key])}"]
    return lines


def _part(item: Any, other: Any) -> str:
    """Return what of an item differs from the other one, at whatever depth."""
    return json.dumps(_rest(item, other), sort_keys=True, default=str)[:1500]


def _rest(item: Any, other: Any) -> Any:
    if isinstance(item, dict) and isinstance(other, dict):
        keys = {key for key in item if key not in other or item[key] != other[key]}
        return {key: _rest(item[key], other.get(key)) for key in keys}
    if isinstance(item, list) and isinstance(other, list):
        return [value for value in item if value not in other] or item
    return item
