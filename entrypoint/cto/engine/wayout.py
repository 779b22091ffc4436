"""The way out where the API server refuses to change an object: what to delete, what hangs on it.

Most objects can be deleted and are made anew. Where data are in them they are named as such, and
no command that loses data is proposed as if it were one like the others.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from cto.objects import ObjectRef


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
