"""Puts environment variables in the place of `${NAME}`; `$${` stands for `${`.

Only in fields of our own. Helm values belong to a chart's program: `${job}` in a dashboard of
Grafana, `${HOME}` in a script are its variables, and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from cto.config.problems import Path, Problem, dotted
from cto.config.shape import Kind, shape_at
from cto.config.tree import Layer, Setting, Settings

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


def resolve(settings: Settings, env: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Resolve the placeholders of files and profiles; tell what is wrong with them.

    What comes from flags and variables stays as it is: the shell has replaced what it should. So
    does whatever lies in a field that is open to anything.
    """
    problems: list[Problem] = []
    found = {
        path: _replaced(item, path, env, problems) if _may_hold_one(item, path) else item
        for path, item in settings.items()
    }
    return found, problems


def _may_hold_one(item: Setting, path: Path) -> bool:
    is_text = isinstance(item.value, str) and "${" in item.value
    if not is_text or item.origin.layer not in {Layer.FILE, Layer.PROFILE}:
        return False
    shape = shape_at(path)
    return shape is None or shape.kind is not Kind.OPEN


def _replaced(
    item: Setting, path: Path, env: Mapping[str, str], problems: list[Problem]
) -> Setting:
    variables: dict[str, None] = {}

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            if match[0] == "${":
                problems.append(_problem(item, path, "", "has a ${ that starts no ${NAME}"))
            return "${"
        variables[name] = None
        if name not in env:
            reason = f"the environment variable {name} is not set"
            problems.append(_problem(item, path, name, reason))
        return env.get(name, "")

    return replace(item, value=_TOKEN.sub(put, item.value), variables=tuple(variables))


def _problem(item: Setting, path: Path, name: str, reason: str) -> Problem:
    literal = f"write $${{{name}}} for the plain text ${{{name}}}"
    fix = f"set {name}, or {literal}" if name else "write $${ for a plain ${"
    return Problem(path=dotted(path), origin=str(item.origin), reason=reason, fix=fix)
