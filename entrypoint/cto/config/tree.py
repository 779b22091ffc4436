"""Settings before they are checked: a tree in which every node knows where it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

from cto.config.problems import Path


class Layer(IntEnum):
    """The layers of a configuration; the higher one wins."""

    DEFAULT = 0
    PROFILE = 1
    FILE = 2
    ENV = 3
    FLAG = 4


@dataclass(frozen=True)
class Origin:
    """Where a value came from. As text: `cto.yaml:12`, `--profile`, `env CTO_PROFILE`."""

    layer: Layer
    text: str

    def __str__(self) -> str:
        return self.text


DEFAULT = Origin(Layer.DEFAULT, "default")


@dataclass(frozen=True)
class Scalar:
    """A single value, and the text it was written as. Neither shows in repr: it may be secret.

    Attributes:
        variables: Environment variables that it was made from.
    """

    value: Any = field(repr=False)
    origin: Origin
    text: str = field(default="", repr=False)
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """A list. Layers replace it as a whole."""

    items: tuple[Node, ...]
    origin: Origin


@dataclass(frozen=True)
class Branch:
    """A mapping. Layers merge it key by key."""

    children: Mapping[str, Node]
    origin: Origin


Node: TypeAlias = Scalar | Listing | Branch


def merge(base: Node, over: Node) -> Node:
    """Return both in one: mappings are merged deeply, anything else is replaced.

    Associative as long as no layer puts a single value where another has a mapping.
    """
    if not (isinstance(base, Branch) and isinstance(over, Branch)):
        return over
    children = dict(base.children)
    for key, child in over.children.items():
        children[key] = merge(children[key], child) if key in children else child
    return Branch(children, over.origin)


def from_plain(data: Any, origin: Origin) -> Node:
    """Return a tree whose values all have one origin."""
    if isinstance(data, Mapping):
        return Branch({str(key): from_plain(item, origin) for key, item in data.items()}, origin)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        return Listing(tuple(from_plain(item, origin) for item in data), origin)
    return Scalar(data, origin, text="" if data is None else str(data))


def to_plain(node: Node) -> Any:
    """Return the values without their origins."""
    match node:
        case Branch():
            return {key: to_plain(child) for key, child in node.children.items()}
        case Listing():
            return [to_plain(item) for item in node.items]
        case Scalar():
            return node.value


def at(path: Sequence[str], node: Node) -> Node:
    """Return the node with branches put above it, so that it comes to lie at the path."""
    for key in reversed(path):
        node = Branch({key: node}, node.origin)
    return node


def find(node: Node, path: Path) -> Node | None:
    """Return the node at a path, if there is one."""
    for part in path:
        match node:
            case Branch() if str(part) in node.children:
                node = node.children[str(part)]
            case Listing() if isinstance(part, int) and part < len(node.items):
                node = node.items[part]
            case _:
                return None
    return node


def nearest_origin(node: Node, path: Path) -> Origin:
    """Return the origin of the deepest node on the way to a path."""
    for end in range(len(path), 0, -1):
        found = find(node, path[:end])
        if found is not None:
            return found.origin
    return node.origin


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Yield every single value, list and empty mapping with its path."""
    if isinstance(node, Branch) and node.children:
        for key, child in node.children.items():
            yield from leaves(child, (*path, key))
    elif path:
        yield path, node
