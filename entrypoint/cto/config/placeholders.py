"""Puts environment variables in the place of `${NAME}`; `$${` stands for `${`.

Only in fields of our own. Helm values belong to a chart's program: `${job}` in a dashboard of
Grafana, `${HOME}` in a script are its variables, and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cto.config.problems import Path, Problem, dotted
from cto.config.shape import Kind, shape_at
from cto.config.tree import Branch, Layer, Listing, Node, Scalar

_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass
class Resolver:
    """Resolves the placeholders of files and profiles, and collects what is wrong with them.

    What comes from flags and variables stays as it is: the shell has replaced what it should. So
    does whatever lies in a field that is open to anything.
    """

    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)

    def resolve(self, node: Node, path: Path = ()) -> Node:
        shape = shape_at(path)
        if shape is not None and shape.kind is Kind.OPEN:
            return node
        match node:
            case Branch():
                children = {
                    k: self.resolve(child, (*path, k)) for k, child in node.children.items()
                }
                return Branch(children, node.origin)
            case Listing():
                items = (self.resolve(item, (*path, i)) for i, item in enumerate(node.items))
                return Listing(tuple(items), node.origin)
            case Scalar():
                return self._scalar(node, path)

    def _scalar(self, node: Scalar, path: Path) -> Scalar:
        is_text = isinstance(node.value, str) and "${" in node.value
        if not is_text or node.origin.layer not in {Layer.FILE, Layer.PROFILE}:
            return node
        value, variables = self._replaced(node, path)
        return replace(node, value=value, variables=variables)

    def _replaced(self, node: Scalar, path: Path) -> tuple[str, tuple[str, ...]]:
        variables: dict[str, None] = {}

        def put(match: re.Match[str]) -> str:
            name = match["name"]
            if name is None:
                if match[0] == "${":
                    self._refuse(node, path, "", "has a ${ that starts no ${NAME}")
                return "${"
            variables[name] = None
            if name not in self.env:
                self._refuse(node, path, name, f"the environment variable {name} is not set")
            return self.env.get(name, "")

        value = _TOKEN.sub(put, node.value)
        return value, tuple(variables)

    def _refuse(self, node: Scalar, path: Path, name: str, reason: str) -> None:
        literal = f"write $${{{name}}} for the plain text ${{{name}}}"
        fix = f"set {name}, or {literal}" if name else "write $${ for a plain ${"
        problem = Problem(path=dotted(path), origin=str(node.origin), reason=reason, fix=fix)
        self.problems.append(problem)
