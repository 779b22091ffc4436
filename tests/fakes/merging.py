"""A server-side apply that is good enough: maps are merged, everything else is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(live: Any, new: Any, previous: Any) -> Any:
    """Return `live` with `new` applied; keys that `previous` had and `new` lacks are removed."""
    if not (isinstance(live, Mapping) and isinstance(new, Mapping)):
        return new
    before = previous if isinstance(previous, Mapping) else {}
    gone = {key for key in before if key not in new}
    result = {key: value for key, value in live.items() if key not in gone}
    for key, value in new.items():
        result[key] = merged(result.get(key), value, before.get(key)) if key in result else value
    return result


def managed(applied: Mapping[str, Any], manager: str) -> dict[str, Any]:
    """Return the entry of managedFields of whoever applied it; lists are one value."""
    identity = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}
    metadata = {k: v for k, v in applied["metadata"].items() if k not in identity}
    wish = {k: v for k, v in applied.items() if k not in {"apiVersion", "kind"}}
    return {
        "manager": manager,
        "operation": "Apply",
        "fieldsV1": _fields({**wish, "metadata": metadata}),
    }


def _fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {}
    return {f"f:{key}": _fields(inner) for key, inner in value.items()}
