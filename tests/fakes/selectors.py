"""Label and field selectors, as far as the installer uses them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SET = re.compile(r"^(\S+)\s+(in|notin)\s+\(([^)]*)\)$")
_COMMA = re.compile(r",(?![^(]*\))")


def labels_match(selector: str, labels: Mapping[str, str]) -> bool:
    return all(_label_term(term.strip(), labels) for term in _COMMA.split(selector) if term.strip())


def fields_match(selector: str, manifest: Mapping[str, Any]) -> bool:
    for term in filter(None, selector.split(",")):
        key, negated, value = _equality(term)
        if (str(_field(manifest, key)) == value) == negated:
            return False
    return True


def _label_term(term: str, labels: Mapping[str, str]) -> bool:
    if found := _SET.match(term):
        values = {value.strip() for value in found[3].split(",")}
        return (labels.get(found[1]) in values) == (found[2] == "in")
    if "=" in term:
        key, negated, value = _equality(term)
        return (labels.get(key) == value) != negated
    if term.startswith("!"):
        return term[1:] not in labels
    return term in labels


def _equality(term: str) -> tuple[str, bool, str]:
    key, sign, value = re.split(r"(!=|==|=)", term, maxsplit=1)
    return key.strip(), sign == "!=", value.strip()


def _field(manifest: Mapping[str, Any], path: str) -> Any:
    value: Any = manifest
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, Mapping) else ""
    return value
