"""What of an object others manage that a run takes back, by the object's managedFields.

An apply of ours forces its fields: a Deployment that somebody scaled for the night gets the chart's
number again. That is right, and nothing that may happen in silence.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

from cto.objects import Manifest, ObjectRef
from cto.plan.changes import TakenBack

# Whatever these wrote came from an installation.
OURS = frozenset({"cto", "helm", "Helm"})
_REPLICAS = "spec.replicas"
# An image is no secret; of other texts nobody knows.
_SHOWN = ("image",)


def taken_back(
    ref: ObjectRef, live: Manifest, after: Manifest, scaled: Container[tuple[str, str]]
) -> tuple[TakenBack, ...]:
    """Return the fields that others wrote and that are another after the run.

    Args:
        ref: The object.
        live: As it is, with managedFields.
        after: As it will be: what a dry run answered.
        scaled: Kind and name of what an autoscaler scales: their replicas are nobody's drift.
    """
    found: dict[str, TakenBack] = {}
    for entry in live["metadata"].get("managedFields") or ():
        if entry.get("manager") in OURS or entry.get("subresource") == "status":
            continue
        for field, old, new in _changed(entry.get("fieldsV1") or {}, live, after, ""):
            if field == _REPLICAS and (ref.kind, ref.name) in scaled:
                continue
            found[field] = TakenBack(
                ref=ref,
                field=field,
                manager=str(entry.get("manager", "")),
                subresource=str(entry.get("subresource") or ""),
                time=str(entry.get("time") or ""),
                change=_shown(ref, field, old, new),
            )
    return tuple(found[field] for field in sorted(found))


def scaled_by_autoscalers(autoscalers: Sequence[Manifest]) -> frozenset[tuple[str, str]]:
    """Return kind and name of what horizontal autoscalers scale."""
    targets = [item.get("spec", {}).get("scaleTargetRef") or {} for item in autoscalers]
    return frozenset((str(one.get("kind")), str(one.get("name"))) for one in targets)


def _changed(
    fields: Mapping[str, Any], live: Any, after: Any, path: str
) -> Iterator[tuple[str, Any, Any]]:
    """Yield path, value now and value then of the leaves that become another."""
    for key, below in fields.items():
        how, _, name = key.partition(":")
        match how:
            case "f":
                old, new, at = _member(live, name), _member(after, name), f"{path}.{name}"
            case "k":
                wanted = json.loads(name)
                old, new = _item(live, wanted), _item(after, wanted)
                at = f"{path}[{','.join(str(value) for value in wanted.values())}]"
            case _:
                # "." is the thing itself, "v" a member of a set: those of others stay.
                continue
        if any(inner != "." for inner in below):
            yield from _changed(below, old, new, at)
        elif old != new and how == "f":
            yield at.removeprefix("."), old, new


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _item(value: Any, wanted: Mapping[str, Any]) -> Any:
    """Return the item of a list that has these keys."""
    items = value if isinstance(value, list) else []
    return next(
        (
            item
            for item in items
            if isinstance(item, Mapping)
            and all(item.get(key) == content for key, content in wanted.items())
        ),
        None,
    )


def _shown(ref: ObjectRef, field: str, old: Any, new: Any) -> str:
    """Return both values where they cannot be secret."""
    plain = isinstance(old, int | bool) and isinstance(new, int | bool | None)
    named = field.rpartition(".")[2] in _SHOWN and isinstance(old, str)
    return f"{old} -> {new}" if ref.kind != "Secret" and (plain or named) else ""
