"""Settings before they are checked: what stands at each path, its layer and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from cto.config.problems import Path


class Layer(IntEnum):
    """The layers of a configuration; the higher one wins."""

    DEFAULT = 0
    PROFILE = 1
    INSTALLED = 2
    FILE = 3
    ENV = 4
    FLAG = 5


@dataclass(frozen=True)
class Origin:
    """Where a value came from. As text: `cto.yaml:12`, `--profile`, `env CTO_PROFILE`."""

    layer: Layer
    text: str

    def __str__(self) -> str:
        return self.text


DEFAULT = Origin(Layer.DEFAULT, "default")


class Nesting(Enum):
    """How what stands there holds others."""

    MAPPING = "mapping"
    LIST = "list"


@dataclass(frozen=True)
class Setting:
    """A value, and the text it was written as. Neither shows in repr: it may be secret.

    Attributes:
        value: A single value, or how it holds others.
        variables: Environment variables that it was made from.
    """

    value: Any = field(repr=False)
    origin: Origin
    text: str = field(default="", repr=False)
    variables: tuple[str, ...] = ()

    @property
    def is_single(self) -> bool:
        return not isinstance(self.value, Nesting)

    @property
    def is_mapping(self) -> bool:
        return self.value is Nesting.MAPPING


Settings: TypeAlias = Mapping[Path, Setting]
"""What stands at which path; () is the whole. What holds others comes before them."""


def merge(base: Settings, over: Settings) -> Settings:
    """Return both in one: mappings are merged deeply, anything else is replaced as a whole.

    Associative as long as no layer puts a single value where another has a mapping.
    """
    both = base.keys() & over.keys()
    replaced = {path for path in both if not (base[path].is_mapping and over[path].is_mapping)}
    kept = {
        path: item
        for path, item in base.items()
        if not any(path[:end] in replaced for end in range(len(path)))
    }
    return _in_order({**kept, **over})


def _in_order(settings: Settings) -> Settings:
    """Put together what one mapping or list holds; otherwise as it was mentioned first."""
    seen = {path: number for number, path in enumerate(settings)}
    place = {path: [seen[path[:end]] for end in range(len(path) + 1)] for path in settings}
    return dict(sorted(settings.items(), key=lambda item: place[item[0]]))


def from_plain(data: Any, origin: Origin, path: Path = ()) -> Settings:
    """Return settings that all have one origin."""
    if isinstance(data, Mapping):
        below = [((*path, str(key)), item) for key, item in data.items()]
        found = {path: Setting(Nesting.MAPPING, origin)}
    elif isinstance(data, Sequence) and not isinstance(data, str | bytes):
        below = [((*path, index), item) for index, item in enumerate(data)]
        found = {path: Setting(Nesting.LIST, origin)}
    else:
        return {path: Setting(data, origin, text="" if data is None else str(data))}
    for place, item in below:
        found |= from_plain(item, origin, place)
    return found


def to_plain(settings: Settings) -> Any:
    """Return the values without their origins."""
    made: dict[Path, Any] = {}
    for path, item in settings.items():
        match item.value:
            case Nesting.MAPPING:
                made[path] = {}
            case Nesting.LIST:
                made[path] = []
            case _:
                made[path] = item.value
        if path and isinstance(path[-1], int):
            made[path[:-1]].append(made[path])
        elif path:
            made[path[:-1]][path[-1]] = made[path]
    return made[()]


def placed(path: Path, settings: Settings) -> Settings:
    """Return the settings moved to a path, with mappings above them."""
    above = Setting(Nesting.MAPPING, settings[()].origin)
    moved = {(*path, *rest): item for rest, item in settings.items()}
    return {path[:end]: above for end in range(len(path))} | moved


def settings_at(settings: Settings, path: Path) -> Settings:
    """Return what is at a path and below it, as a whole of its own; nothing if nothing is there."""
    length = len(path)
    return {place[length:]: item for place, item in settings.items() if place[:length] == path}


def restricted(settings: Settings, kept: Callable[[Path], bool]) -> Settings:
    """Return what holds for some single values, lists and empty mappings, and what is above it."""
    ends = {path for path, _ in leaves(settings) if kept(path)}
    above = {path[:end] for path in ends for end in range(len(path))} | {()}
    return {
        path: item
        for path, item in settings.items()
        if path in above or any(path[:end] in ends for end in range(len(path) + 1))
    }


def nearest_origin(settings: Settings, path: Path) -> Origin:
    """Return the origin of the deepest setting on the way to a path."""
    ends = (path[:end] for end in range(len(path), -1, -1))
    return next(settings[place].origin for place in ends if place in settings)


def leaves(settings: Settings) -> Iterator[tuple[Path, Setting]]:
    """Yield every single value, list and empty mapping with its path."""
    above = {path[:-1] for path in settings if path}
    for path, item in settings.items():
        in_list = any(isinstance(key, int) for key in path)
        if path and not in_list and not (item.is_mapping and path in above):
            yield path, item
