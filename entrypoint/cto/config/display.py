"""Shows a configuration as YAML, with the origin of every value beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cto import goyaml
from cto.config.load import Loaded
from cto.config.problems import Path, dotted
from cto.config.shape import Kind, shape_at
from cto.config.tree import Origin

_COLUMN = 44


def display(loaded: Loaded, *, origins: bool) -> str:
    """Return the whole configuration as YAML; secrets are markers that say where they are from."""
    lines = _lines(loaded.config.public(), (), loaded.origins)
    return "\n".join(_line(text, origin if origins else None) for text, origin in lines) + "\n"


def flow(value: Any) -> str:
    """Return a value as YAML in one line."""
    return goyaml.dump_flow(value)


def _lines(
    data: Mapping[str, Any], path: Path, origins: Mapping[str, Origin]
) -> Iterator[tuple[str, Origin | None]]:
    for key, value in data.items():
        here = (*path, key)
        head = f"{'  ' * len(path)}{flow(key)}:"
        if isinstance(value, Mapping) and value and not _is_value(here, origins):
            yield head, None
            yield from _lines(value, here, origins)
        else:
            yield f"{head} {flow(value)}", origins.get(dotted(here))


def _is_value(path: Path, origins: Mapping[str, Origin]) -> bool:
    """Whether a mapping is the marker of a secret value, not a branch."""
    shape = shape_at(path)
    is_secret = shape is not None and shape.kind is Kind.SECRET
    return is_secret or dotted(path) in origins


def _line(text: str, origin: Origin | None) -> str:
    return text if origin is None else f"{text:<{_COLUMN}}  # {origin}"
