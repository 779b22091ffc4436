"""What the model has at a path: needed before values are checked, to read and to explain them."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from cto.config.model import Config
from cto.config.secret import Secret
from cto.config.text import Matches


class Kind(Enum):
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
class Shape:
    """One place of the model.

    Attributes:
        names: Keys of a section.
        separator: What parts the words of a mapping's keys: `-` or `_`.
        has_secret: It is a secret, or there is one below.
    """

    kind: Kind
    names: tuple[str, ...] = ()
    separator: str = "_"
    has_secret: bool = False

    @property
    def is_container(self) -> bool:
        return self.kind in {Kind.SECTION, Kind.MAPPING, Kind.OPEN}


def shape_at(path: Sequence[str | int], root: type[BaseModel] = Config) -> Shape | None:
    """Return what a model has at a path; nothing if it has no such path."""
    return _shape_at(tuple(str(part) for part in path), root)


@cache
def _shape_at(path: tuple[str, ...], root: type[BaseModel]) -> Shape | None:
    annotation: Any = root
    for part in path:
        if annotation is Any:
            return Shape(Kind.OPEN)
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


def _shape(annotation: Any) -> Shape:
    annotation = _bare(annotation)
    if annotation is Any:
        return Shape(Kind.OPEN)
    if annotation is Secret:
        return Shape(Kind.SECRET, has_secret=True)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields
        secret = any(_shape(field.annotation).has_secret for field in fields.values())
        return Shape(Kind.SECTION, tuple(fields), has_secret=secret)
    if get_origin(annotation) is Mapping:
        key, value = get_args(annotation)
        if value is Any:
            return Shape(Kind.OPEN)
        separator = "-" if _hyphens(key) else "_"
        return Shape(Kind.MAPPING, separator=separator, has_secret=_shape(value).has_secret)
    return Shape(Kind.LIST if get_origin(annotation) is tuple else Kind.VALUE)


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
