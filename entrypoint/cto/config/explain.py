"""Says in the user's words what the model refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from cto.config.problems import Path, Problem, did_you_mean, dotted
from cto.config.shape import Kind, paths, shape_at
from cto.config.tree import Settings, nearest_origin
from cto.errors import nearest

# pydantic's mark for "the key of a mapping, not its value".
_KEY = "[key]"
_REASONS: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "string_type": ("must be text", "put it in quotes"),
    "string_too_short": ("must not be empty", "give a value, or leave the line out"),
    "bool_type": ("must be true or false", ""),
    "bool_parsing": ("must be true or false", ""),
    "int_type": ("must be a whole number", ""),
    "int_parsing": ("must be a whole number", ""),
    "int_from_float": ("must be a whole number", ""),
    "dict_type": ("must be a mapping", "write its entries as `key: value` lines below it"),
    "model_type": ("must be a mapping", "write its fields as `key: value` lines below it"),
    "tuple_type": ("must be a list", "write its items as `- item` lines below it"),
}


def problems_of(
    error: ValidationError,
    settings: Settings,
    root: type[BaseModel],
    components: Sequence[str] = (),
) -> list[Problem]:
    """Return a problem for each finding; values come from the settings, and no secret ones.

    `components` are the names of those that there are: some take them for features.
    """
    found = error.errors(include_url=False, include_input=False)
    return [_problem(dict(item), settings, root, components) for item in found]


def _problem(
    item: dict[str, Any], settings: Settings, root: type[BaseModel], components: Sequence[str]
) -> Problem:
    is_key = _KEY in item["loc"]
    context = item.get("ctx", {})
    below = context.get("field", "")
    path: Path = tuple(part for part in item["loc"] if part != _KEY)
    path = (*path, *below.split(".")) if below else path
    value = "" if is_key else _value(settings, path, root)
    if item["type"] == "extra_forbidden":
        reason, fix = "there is no such field", _field_hint(path, root, components)
    elif item["type"] not in {"missing", "cto"} and _is_null(settings, path):
        value = ""
        reason, fix = _REASONS["string_too_short"]
    else:
        reason, fix = _reason(item["type"], context, value, item["msg"])
    return Problem(
        path=dotted(path),
        value=value,
        origin=str(nearest_origin(settings, path)),
        reason=reason,
        fix=fix,
    )


def _is_null(settings: Settings, path: Path) -> bool:
    return path in settings and settings[path].value is None


def _value(settings: Settings, path: Path, root: type[BaseModel]) -> str:
    """Return the value as it was written, if it may be shown."""
    shape, found = shape_at(path, root), settings.get(path)
    if shape is None or shape.kind is not Kind.VALUE or found is None or not found.is_single:
        return ""
    return found.text


def _reason(kind: str, context: Mapping[str, Any], value: str, told: str) -> tuple[str, str]:
    match kind:
        case "cto":
            return context["reason"], context["fix"]
        case "enum":
            choices = re.findall(r"'([^']+)'", context["expected"])
            near = nearest(value, choices)
            hint = f"did you mean {near}?" if near else ""
            return f"must be one of {', '.join(choices)}", hint
        case "greater_than_equal":
            return f"must be at least {context['ge']}", ""
        case "less_than_equal":
            return f"must be at most {context['le']}", ""
        case _:
            # The rest are pydantic's own sentences: they name limits, never the value.
            return _REASONS.get(kind, (told[:1].lower() + told[1:], ""))


def _field_hint(path: Path, root: type[BaseModel], components: Sequence[str]) -> str:
    *parents, name = (str(part) for part in path)
    shape = shape_at(parents, root)
    siblings = shape.names if shape else ()
    if not nearest(name, siblings):
        elsewhere = [dotted(other) for other in paths(root) if other[-1] == name]
        if elsewhere:
            return f"did you mean {' or '.join(elsewhere)}?"
        if near := nearest(name, components):
            return f"did you mean components.{near}?"
    return did_you_mean(name, siblings)
