"""What the model has at a path, and in the user's words what it refused there."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from cto.config.fields import Matches, Secret
from cto.config.layers import Settings, nearest_origin
from cto.config.model import Config
from cto.config.problems import Path, Problem, did_you_mean, dotted
from cto.errors import nearest

# pydantic's mark for "the key of a mapping, not its value".
_KEY_MARK = "[key]"
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


class FieldKind(Enum):
    SECTION = "section"
    """Fixed keys."""
    MAPPING = "mapping"
    """Keys of the user's choice, all with the same kind of value."""
    OPEN = "open"
    """Anything at all: Helm values."""
    LIST = "list"
    SECRET = "secret"  # noqa: S105 - a kind of field
    VALUE = "value"


@dataclass(frozen=True)
class FieldShape:
    """One place of the model.

    Attributes:
        names: Keys of a section.
        separator: What parts the words of a mapping's keys: `-` or `_`.
        has_secret: It is a secret, or there is one below.
    """

    kind: FieldKind
    names: tuple[str, ...] = ()
    separator: str = "_"
    has_secret: bool = False

    @property
    def is_container(self) -> bool:
        return self.kind in {FieldKind.SECTION, FieldKind.MAPPING, FieldKind.OPEN}


def shape_at(path: Sequence[str | int], root: type[BaseModel] = Config) -> FieldShape | None:
    """Return what a model has at a path; nothing if it has no such path."""
    return _shape_at(tuple(str(part) for part in path), root)


@cache
def _shape_at(path: tuple[str, ...], root: type[BaseModel]) -> FieldShape | None:
    annotation: Any = root
    for part in path:
        if annotation is Any:
            return FieldShape(FieldKind.OPEN)
        annotation = _child(annotation, part)
        if annotation is None:
            return None
    return _shape(annotation)


@cache
def paths(root: type[BaseModel] = Config) -> tuple[tuple[str, ...], ...]:
    """Return every path of fixed keys, in the model's order."""
    return tuple(_walk(root, ()))


def _walk(annotation: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
    found = []
    for name, field in annotation.model_fields.items():
        found.append((*path, name))
        child = _bare(field.annotation)
        if isinstance(child, type) and issubclass(child, BaseModel):
            found += _walk(child, (*path, name))
    return found


def _child(annotation: Any, part: str) -> Any:
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(part)
        return field.annotation if field else None
    if get_origin(annotation) is Mapping:
        return get_args(annotation)[1]
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    return None


def _shape(annotation: Any) -> FieldShape:
    annotation = _bare(annotation)
    if annotation is Any:
        return FieldShape(FieldKind.OPEN)
    if annotation is Secret:
        return FieldShape(FieldKind.SECRET, has_secret=True)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        secret = any(_shape(field.annotation).has_secret for field in fields.values())
        return FieldShape(FieldKind.SECTION, tuple(fields), has_secret=secret)
    if get_origin(annotation) is Mapping:
        key, value = get_args(annotation)
        if value is Any:
            return FieldShape(FieldKind.OPEN)
        separator = "-" if _hyphens(key) else "_"
        return FieldShape(
            FieldKind.MAPPING, separator=separator, has_secret=_shape(value).has_secret
        )
    return FieldShape(FieldKind.LIST if get_origin(annotation) is tuple else FieldKind.VALUE)


def _hyphens(annotation: Any) -> bool:
    metadata = get_args(annotation)[1:]
    return any(isinstance(item, Matches) and item.hyphens for item in metadata)


def _bare(annotation: Any) -> Any:
    """Take off `Annotated` and `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        # Of several types the first: all unions of the model are of single values.
        return _bare(next(item for item in get_args(annotation) if item is not type(None)))
    return annotation


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
    return [_problem_of(dict(item), settings, root, components) for item in found]


def _problem_of(
    item: dict[str, Any], settings: Settings, root: type[BaseModel], components: Sequence[str]
) -> Problem:
    is_key = _KEY_MARK in item["loc"]
    context = item.get("ctx", {})
    below = context.get("field", "")
    path: Path = tuple(part for part in item["loc"] if part != _KEY_MARK)
    path = (*path, *below.split(".")) if below else path
    value = "" if is_key else _shown_value(settings, path, root)
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


def _shown_value(settings: Settings, path: Path, root: type[BaseModel]) -> str:
    """Return the value as it was written, if it may be shown."""
    shape, found = shape_at(path, root), settings.get(path)
    if shape is None or shape.kind is not FieldKind.VALUE or found is None or not found.is_single:
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
