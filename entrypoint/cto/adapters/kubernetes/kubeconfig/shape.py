"""Whether kubectl and helm can read a kubeconfig at all: both refuse the whole file for one field.

Go decodes into types. A number is no text to it, and a name that is there twice ends the reading
with an error that quotes the entries, tokens and all
(https://github.com/kubernetes/kubernetes/issues/66435). So it is told before they are asked. Fields
that Go does not know it passes over, and so do we.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from types import UnionType
from typing import Any

from cto.adapters.kubernetes.kubeconfig.fields import CONFIG, Field, ValueKind

_TYPES = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
_TYPES |= {list: "a list", dict: "a mapping"}
_IDENTITY = {"kind": "Config", "apiVersion": "v1"}


def problems(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield what Go could not read, by its place. Never a value: it may be a secret."""
    for key, wanted in _IDENTITY.items():
        if document.get(key) not in (None, "", wanted):
            yield f"{key} is not {wanted}"
    yield from _part("", document, CONFIG)


def _part(place: str, data: Mapping[str, Any], fields: Mapping[str, Field]) -> Iterator[str]:
    for key, field in fields.items():
        if data.get(key) is not None:
            yield from _field(f"{place}.{key}" if place else key, data[key], field)


def _field(place: str, value: Any, field: Field) -> Iterator[str]:
    match field.kind:
        case ValueKind.ANY:
            return
        case ValueKind.TEXT | ValueKind.FLAG | ValueKind.DATA:
            yield from _scalar(place, value, field.kind)
        case ValueKind.TEXTS:
            yield from _texts(place, value)
        case ValueKind.TEXT_BY_NAME | ValueKind.TEXTS_BY_NAME:
            yield from _by_name(place, value, field.kind)
        case ValueKind.PART:
            yield from _is(place, value, dict, field.kind)
            if isinstance(value, dict):
                yield from _part(place, value, field.of or {})
        case ValueKind.PARTS | ValueKind.NAMED:
            yield from _parts(place, value, field)


def _scalar(place: str, value: Any, kind: ValueKind) -> Iterator[str]:
    # A date is a text to Go.
    yield from _is(place, value, bool if kind is ValueKind.FLAG else str | date, kind)
    if kind is ValueKind.DATA and isinstance(value, str) and not _is_base64(value):
        yield f"{place} is no base64"


def _parts(place: str, value: Any, field: Field) -> Iterator[str]:
    yield from _is(place, value, list, field.kind)
    items = value if isinstance(value, list) else []
    for index, item in enumerate(items):
        here = f"{place}[{index}]"
        if item is None:
            continue
        yield from _is(here, item, dict, ValueKind.PART)
        if isinstance(item, dict):
            name = item.get("name")
            named = f"{place}[{name}]" if isinstance(name, str) and name else here
            yield from _part(named, item, field.of or {})
    if field.kind is ValueKind.NAMED:
        yield from _twice(place, items)


def _twice(place: str, items: Iterable[Any]) -> Iterator[str]:
    names = [str((item if isinstance(item, dict) else {}).get("name") or "") for item in items]
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{place}: the name {name!r} is there {count} times"


def _by_name(place: str, value: Any, kind: ValueKind) -> Iterator[str]:
    yield from _is(place, value, dict, kind)
    for name, inner in value.items() if isinstance(value, dict) else ():
        if inner is None:
            continue
        if kind is ValueKind.TEXTS_BY_NAME:
            yield from _texts(f"{place}[{name}]", inner)
        else:
            yield from _scalar(f"{place}[{name}]", inner, ValueKind.TEXT)


def _texts(place: str, value: Any) -> Iterator[str]:
    yield from _is(place, value, list, ValueKind.TEXTS)
    for index, item in enumerate(value if isinstance(value, list) else ()):
        if item is not None:
            yield from _scalar(f"{place}[{index}]", item, ValueKind.TEXT)


def _is(place: str, value: Any, wanted: type | UnionType, kind: ValueKind) -> Iterator[str]:
    if not isinstance(value, wanted):
        yield f"{place} is {_TYPES.get(type(value), 'something else')}, and must be {kind.value}"


def _is_base64(text: str) -> bool:
    try:
        # Go passes over line ends, and over nothing else.
        base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
