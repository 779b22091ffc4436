"""Reads settings from environment variables: CTO_PLATFORM__NAME is platform.name.

Words of a key are parted by one underscore, keys by two. Single values are taken as they are;
lists and mappings are YAML text. A variable that is set and empty is as good as not set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from cto.config import tree, variables
from cto.config.problems import Problem
from cto.config.shape import Kind, paths, shape_at
from cto.config.source import Source, parse, relabelled
from cto.config.tree import Branch, Layer, Node, Origin, Scalar
from cto.errors import nearest

PREFIX = "CTO_"
# Short names of settings. The long one is the more exact one, and wins.
_SHORT = {"CTO_CONTEXT": ("cluster", "context")}
_NESTED = "__"


def read(env: Mapping[str, str], component_names: Sequence[str]) -> tuple[Branch, list[Problem]]:
    """Return the settings that the environment gives, and what is wrong with them."""
    layer: Node = Branch({}, Origin(Layer.ENV, "env"))
    problems: list[Problem] = []
    # The more exact variable is merged later, and wins: CTO_SMTP, then CTO_SMTP__HOST.
    for name in sorted(env, key=lambda item: (item.count(_NESTED), item)):
        if not name.startswith(PREFIX) or name in variables.NAMES or not env[name].strip():
            continue
        path = _path(name, component_names)
        if path is None:
            problems += _unknown(name)
            continue
        node, wrong = _value(name, env[name], path)
        problems += wrong
        if node is not None:
            layer = tree.merge(layer, tree.at(path, node))
    assert isinstance(layer, Branch)  # noqa: S101 - paths are never empty; for the type checker
    return layer, problems


def variable(path: Sequence[str]) -> str:
    """Return the name of the variable for a path."""
    return PREFIX + _NESTED.join(part.upper().replace("-", "_") for part in path)


def _path(name: str, component_names: Sequence[str]) -> tuple[str, ...] | None:
    if name in _SHORT:
        return _SHORT[name]
    path: tuple[str, ...] = ()
    for part in name.removeprefix(PREFIX).split(_NESTED):
        shape = shape_at(path)
        if shape is None or not part:
            return None
        if shape.kind is Kind.MAPPING:
            key = part.lower().replace("_", shape.separator)
            if path == ("components",):
                key = _component(key, component_names)
        elif shape.kind is Kind.SECTION:
            key = part.lower()
        elif shape.kind is Kind.SECRET:
            key = part.lower()
            if key not in {"secret", "key"}:
                return None
            return (*path, key)
        else:
            return None
        path = (*path, key)
    return path if shape_at(path) else None


def _component(key: str, names: Sequence[str]) -> str:
    same = [name for name in names if name.replace("_", "-") == key]
    return same[0] if same else key


def _value(name: str, text: str, path: tuple[str, ...]) -> tuple[Node | None, list[Problem]]:
    origin = Origin(Layer.ENV, f"env {name}")
    shape = shape_at(path)
    if shape is None or shape.kind in {Kind.VALUE, Kind.SECRET}:
        return Scalar(text, origin, text), []
    parsed = parse(text, Source(Layer.ENV, origin.text, lines=False))
    problems = [
        Problem(path=".".join(path), origin=origin.text, reason=item.reason)
        for item in parsed.problems
    ]
    return (relabelled(parsed.tree, origin) if parsed.tree else None), problems


def _unknown(name: str) -> list[Problem]:
    """Return the problem with a variable that is no setting.

    A name without `__` may be anybody's: Kubernetes itself puts CTO_SERVICE_HOST into pods beside
    a Service `cto`. It is a problem only if it looks like one of ours.
    """
    # Without the prefix, which makes everything alike.
    near = nearest(name.removeprefix(PREFIX), _names(), likeness=0.85)
    if _NESTED not in name and not near:
        return []
    fix = f"did you mean {PREFIX}{near}?" if near else "`cto config schema` has all settings"
    return [Problem(path="", origin=f"env {name}", reason="is no setting of cto", fix=fix)]


@cache
def _names() -> tuple[str, ...]:
    names = (*(variable(path) for path in paths()), *_SHORT, *sorted(variables.NAMES))
    return tuple(name.removeprefix(PREFIX) for name in names)
