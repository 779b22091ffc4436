"""Identity of Kubernetes objects, their labels and quantities, and YAML in and out.

Objects are decoded JSON (`Manifest`): the API's own types are open, and the charts bring kinds
that nobody here knows.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from cto import goyaml

Manifest: TypeAlias = dict[str, Any]

# Where the pod spec is, by kind.
POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"),
        ("spec", "template", "spec"),
    ),
}
POD_GROUPS = frozenset({"", "apps", "batch"})


@dataclass(frozen=True, order=True)
class ObjectRef:
    """Names one object. `namespace` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.kind} {self.name}{where}"

    def to_json(self) -> dict[str, str]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, str]) -> ObjectRef:
        return cls(data["apiVersion"], data["kind"], data["namespace"], data["name"])


def ref_of(manifest: Mapping[str, Any], *, default_namespace: str = "") -> ObjectRef:
    """Return the identity of a manifest.

    `default_namespace` is used where the manifest names none; the caller knows whether the kind
    has namespaces.
    """
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"],
        manifest["kind"],
        metadata.get("namespace", default_namespace),
        metadata["name"],
    )


def labels_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    return manifest.get("metadata", {}).get("labels") or {}


def is_being_deleted(manifest: Mapping[str, Any]) -> bool:
    """Tell whether somebody has deleted it: it is there until its finalizers are done."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def annotations_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    return manifest.get("metadata", {}).get("annotations") or {}


def secret_data(found: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what is in a Secret, as texts; {} if there is none."""
    data = ((found or {}).get("data") or {}).items()
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data}


def is_simulated(node: Mapping[str, Any]) -> bool:
    """Tell whether a Node is kwok's: its pods are called running, and nothing runs in them.

    https://kwok.sigs.k8s.io/docs/user/kwok-manage-nodes-and-pods/
    """
    return "kwok.x-k8s.io/node" in annotations_of(node) or labels_of(node).get("type") == "kwok"


def all_simulated(nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether nothing at all runs in a cluster: it has nodes, and all of them are kwok's.

    One such node beside real ones, for a load test, changes nothing about the others.
    """
    some = False
    for node in nodes:
        if not is_simulated(node):
            return False
        some = True
    return some


def load_documents(text: str) -> Iterator[Manifest]:
    """Yield the objects of a YAML stream; empty documents are left out, Lists are unpacked.

    Some charts write a key twice. The last one counts, as for Helm and kubectl.

    Raises:
        goyaml.YAMLError: The text is not YAML. The mark in it has line and column.
    """
    for document in goyaml.load_all(text, duplicates=True):
        if not document:
            continue
        if str(document.get("kind", "")).endswith("List") and "items" in document:
            yield from document["items"]
        else:
            yield document


def load_yaml(text: str) -> Any:
    """Return the one document of a YAML text; a key that is given twice is an error.

    Raises:
        goyaml.YAMLError: The text is not YAML. The mark in it has line and column.
    """
    return goyaml.load(text)


def dump_yaml(data: Any) -> str:
    """Return YAML with the keys in their order."""
    return goyaml.dump(data)


def dump_documents(manifests: Iterable[Manifest]) -> str:
    return "---\n".join(dump_yaml(manifest) for manifest in manifests)


def selected(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether labels fulfil a selector; an absent or empty one takes everything."""
    wanted = (selector or {}).get("matchLabels") or {}
    expressions = (selector or {}).get("matchExpressions") or ()
    return wanted.items() <= labels.items() and all(
        matches_expression(expression, labels) for expression in expressions
    )


def matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether labels fulfil one requirement of a selector.

    A word of a newer Kubernetes keeps nobody away: it is not understood here.
    """
    found, values = labels.get(expression["key"]), tuple(expression.get("values") or ())
    test = _OPERATORS.get(expression["operator"])
    return test is None or test(found, values)


def _number(text: str | None) -> float:
    """Return an integer; what is none is neither more nor less than anything."""
    return int(text) if text is not None and text.isdigit() else math.nan


_OPERATORS: Mapping[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda found, values: found in values,
    "NotIn": lambda found, values: found not in values,
    "Exists": lambda found, _: found is not None,
    "DoesNotExist": lambda found, _: found is None,
    "Gt": lambda found, values: _number(found) > _number(values[0]),
    "Lt": lambda found, values: _number(found) < _number(values[0]),
}


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


def text_of(amount: Fraction) -> str:
    """Return a quantity as people write it: `1.5Gi`, `250m`, `3`."""
    for suffix in ("Gi", "Mi"):
        if amount >= _SUFFIXES[suffix]:
            return f"{float(amount / _SUFFIXES[suffix]):.4g}{suffix}"
    if amount.denominator != 1:
        return f"{float(amount * 1000):.4g}m"
    return str(amount)
