"""Reads settings from environment variables: CTO_PLATFORM__NAME is platform.name.

Words of a key are parted by one underscore, keys by two. Single values are taken as they are;
lists and mappings are YAML text. A variable that is set and empty is as good as not set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

from cto.config import tree, variables
from cto.config.problems import Problem
from cto.config.shape import Kind, paths, shape_at
from cto.config.source import YamlSource, parse
from cto.config.tree import Layer, Origin, Setting, Settings
from cto.errors import nearest

PREFIX = "CTO_"
# Short names of settings. The long one is the more exact one, and wins.
_SHORT = {"CTO_CONTEXT": ("cluster", "context")}
_NESTED = "__"


def read(env: Mapping[str, str], component_names: Sequence[str]) -> tuple[Settings, list[Problem]]:
    """Return the settings that the environment gives, and what is wrong with them."""
    layer = tree.from_plain({}, Origin(Layer.ENV, "env"))
    problems: list[Problem] = []
    # The more exact variable is merged later, and wins: CTO_SMTP, then CTO_SMTP__HOST.
    for name in sorted(env, key=lambda item: (item.count(_NESTED), item)):
        if not name.startswith(PREFIX) or name in variables.NAMES or not env[name].strip():
            continue
        path = _path(name, component_names)
        if path is None:
            problems += _unknown(name)
            continue
        found, wrong = _value(name, env[name], path)
        problems += wrong
        if found is not None:
            layer = tree.merge(layer, tree.at(path, found))
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


def _value(name: str, text: str, path: tuple[str, ...]) -> tuple[Settings | None, list[Problem]]:
    origin = Origin(Layer.ENV, f"env {name}")
    shape = shape_at(path)
    if shape is None or shape.kind in {Kind.VALUE, Kind.SECRET}:
        return {(): Setting(text, origin, text)}, []
    parsed = parse(text, YamlSource(Layer.ENV, origin.text, lines=False))
    problems = [
        Problem(path=".".join(path), origin=origin.text, reason=item.reason)
        for item in parsed.problems
    ]
    if parsed.settings is None:
        return None, problems
    return {at: replace(item, origin=origin) for at, item in parsed.settings.items()}, problems


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
