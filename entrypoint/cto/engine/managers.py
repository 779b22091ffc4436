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


def applied_by(live: Manifest, manager: str) -> Manifest:
    """Return of an object what one manager applied: as it can be applied again.

    Args:
        live: As it is, with managedFields.
        manager: Whose fields.
    """
    entries = live["metadata"].get("managedFields") or ()
    mine = [e for e in entries if e.get("manager") == manager and not e.get("subresource")]
    identity = {
        key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]
    }
    found: Manifest = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": identity}
    for entry in mine:
        found = _united(found, _projected(live, entry.get("fieldsV1") or {}))
    return found


def _projected(value: Any, fields: Mapping[str, Any]) -> Any:
    """Return the part of a value that fields name; all of it where they name none."""
    below = {key: inner for key, inner in fields.items() if key != "."}
    if not below:
        return value
    if isinstance(value, list):
        return [item for key, inner in below.items() for item in _items(value, key, inner)]
    members = {key.partition(":")[2]: inner for key, inner in below.items()}
    return {
        name: _projected(value[name], inner) for name, inner in members.items() if name in value
    }


def _items(value: list[Any], key: str, inner: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the item of a list that a key of managedFields stands for."""
    how, _, text = key.partition(":")
    wanted = json.loads(text)
    if how == "v":
        yield wanted
    elif (item := _item(value, wanted)) is not None:
        yield {**_projected(item, inner), **wanted}


def _united(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {**one, **{key: _united(one.get(key), item) for key, item in other.items()}}
    return other


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
