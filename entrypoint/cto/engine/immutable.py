"""What the API server refuses to change: which field it is, and the way out.

Most objects can be deleted and are made anew. Where data are in them they are named as such, and
no command that loses data is proposed as if it were one like the others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, ref_of
from cto.ports import Cluster

_MAY_CHANGE = re.compile(r"'(\w+)'")


def narrowed(field: str, text: str, wanted: Manifest, live: Manifest) -> str:
    """Return the fields of a whole spec that are to be others; `field` itself if none is found.

    "updates to statefulset spec for fields other than 'replicas', ... are forbidden" tells which
    fields may change, and leaves it to the reader to find the one that does.
    """
    new, old = wanted.get(field), live.get(field)
    if field != "spec" or not (isinstance(new, Mapping) and isinstance(old, Mapping)):
        return field
    free = set(_MAY_CHANGE.findall(text))
    names = [name for name in new if name not in free and not _holds(old.get(name), new[name])]
    # More than a few say no more than the whole.
    return ", ".join(f"{field}.{name}" for name in names) if 0 < len(names) <= 3 else field


def _holds(live: Any, wanted: Any) -> bool:
    """Whether a value is there, with whatever the API server filled in beside it."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _holds(live.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(*pair) for pair in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)


@dataclass(frozen=True)
class _Way:
    """How to get on.

    Attributes:
        data: What deleting the object means.
        options: Of `kubectl delete`.
        deletes: Whether deleting it is what is proposed.
    """

    data: str
    options: str = ""
    deletes: bool = True


_PODS = "its pods end and come again: a short outage; volumes are claims of their own and stay"
_RIGHTS = "no data hang on it; what it grants is missing until it is made anew"
_WAYS: Mapping[str, _Way] = {
    "Deployment": _Way(_PODS),
    "DaemonSet": _Way(_PODS),
    "ReplicaSet": _Way(_PODS),
    "StatefulSet": _Way(
        "its pods and claims stay, with their data, and are taken over; claims that exist keep "
        "their size and class",
        options=" --cascade=orphan",
    ),
    "Job": _Way("its pods and their logs go; what it did stays done"),
    "Service": _Way(
        "no data hang on it; it gets another address, an external load balancer perhaps as well"
    ),
    "ConfigMap": _Way("its content comes from the chart again"),
    "StorageClass": _Way("volumes and claims of the class stay as they are"),
    "PriorityClass": _Way("pods that exist keep their priority"),
    "IngressClass": _Way("Ingresses of the class are not served until it is made anew"),
    "RoleBinding": _Way(_RIGHTS),
    "ClusterRoleBinding": _Way(_RIGHTS),
    "PersistentVolumeClaim": _Way(
        "the data of the volume are lost with its claim unless its reclaim policy is Retain: keep "
        "size, class and access modes as they are (components.NAME.values), or back the data up "
        "before anything is deleted",
        deletes=False,
    ),
    "PersistentVolume": _Way(
        "the data are in it: keep it as it is, or back them up before anything is deleted",
        deletes=False,
    ),
    "CustomResourceDefinition": _Way(
        "every object of the kind is deleted with its definition: keep the chart's version, or "
        "back them up (kubectl get -o yaml) before anything is deleted",
        deletes=False,
    ),
    "Namespace": _Way("everything in it would be deleted with it", deletes=False),
    "Secret": _Way(
        "a generated password may be in it: keep a copy (kubectl get -o yaml) before it is "
        "deleted, in a safe place",
        deletes=False,
    ),
}
_OTHER = _Way(
    "whether data hang on it, the component's documentation says: keep a copy (kubectl get -o "
    "yaml) before it is deleted",
    deletes=False,
)


def lines(ref: ObjectRef, context: str, *, fields: tuple[str, ...] = ()) -> list[str]:
    """Return the way out for one object: a command to paste, and what it means."""
    way = _WAYS.get(ref.kind, _OTHER)
    kind = ref.kind.lower() + (f".{ref.group}" if ref.kind not in _WAYS and ref.group else "")
    options = way.options
    if any(field.startswith("spec.selector") for field in fields):
        # Pods that another selector does not find would be left to nobody.
        options = ""
    place = f" -n {shlex.quote(ref.namespace)}" if ref.namespace else ""
    where = f" --context {shlex.quote(context)}" if context else ""
    verb = f"delete{options}" if way.deletes else "get -o yaml"
    command = f"kubectl{where} {verb} {kind} {shlex.quote(ref.name)}{place}"
    data = way.data if options or not way.options else _PODS
    return [f"  {command}", f"    {data}"]


def is_made_again(ref: ObjectRef) -> bool:
    """Tell whether an object can be deleted and made again with nothing at stake.

    Not a StatefulSet: claims are behind it, and it may be told to delete them with itself.
    """
    return ref.kind != "StatefulSet" and _WAYS.get(ref.kind, _OTHER).deletes


_INVALID = 422


def to_be_made_again(
    cluster: Cluster, wanted: Iterable[Manifest], namespace: str
) -> Iterator[ObjectRef]:
    """Yield the objects that cannot become what they are to be, and that nothing is lost with."""
    everywhere = {(kind.api_version, kind.kind) for kind in cluster.kinds() if not kind.namespaced}
    for manifest in wanted:
        is_placed = (manifest["apiVersion"], manifest["kind"]) not in everywhere
        place = {**({"namespace": namespace} if is_placed else {}), **manifest["metadata"]}
        ref = ref_of({**manifest, "metadata": place})
        if not is_made_again(ref) or not cluster.get(ref):
            continue
        try:
            cluster.apply({**manifest, "metadata": place}, dry_run=True, manager="helm")
        except ApiError as error:
            if error.status == _INVALID:
                yield ref


_RECREATE = "Recreate"


def prepare(cluster: Cluster, wanted: Iterable[Manifest], namespace: str) -> None:
    """Switch living Deployments to Recreate where they shall have it; no pod is touched by that.

    The API server fills `rollingUpdate` in when nobody gives it, and refuses it beside Recreate. A
    server-side apply leaves a field alone that it never set, so such an upgrade is refused:
    "spec.strategy.rollingUpdate: Forbidden" (https://github.com/kubernetes/kubernetes/issues/24198).
    Charts that take Recreate for one replica and rolling updates for two meet it when high
    availability is switched off.
    """
    for manifest in wanted:
        if manifest["kind"] != "Deployment" or _strategy(manifest) != _RECREATE:
            continue
        live = cluster.get(ref_of(manifest, default_namespace=namespace))
        if live is not None and _strategy(live) != _RECREATE:
            spec = {**live["spec"], "strategy": {"type": _RECREATE}}
            cluster.update({**live, "spec": spec})


def _strategy(manifest: Manifest) -> str:
    return str(manifest["spec"].get("strategy", {}).get("type", ""))
