"""Reads YAML into settings that know the lines they stand in, and puts variables into them.

`${NAME}` stands for an environment variable, `$${` for `${`. Only in fields of our own: Helm values
belong to a chart's program. `${job}` in a dashboard of Grafana, `${HOME}` in a script are its
variables, and stay as they are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from cto import goyaml
from cto.config.layers import Layer, Nesting, Origin, Setting, Settings
from cto.config.problems import Path, Problem, dotted
from cto.config.shape import FieldKind, shape_at

# Aliases can make a small file billions of values.
_MOST_NODES = 100_000
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_FLOW_HINT = "inside { } and [ ] put ${NAME} in quotes"
_PARSER = "CTO-1301"
_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(frozen=True)
class YamlSource:
    """Where a text is from.

    Attributes:
        label: File name, `stdin`, or `env NAME`.
        lines: Whether its lines mean something to the reader.
    """

    layer: Layer
    label: str
    lines: bool = True

    def origin(self, node: goyaml.Node | None = None) -> Origin:
        if node is None or not self.lines:
            return Origin(self.layer, self.label)
        return Origin(self.layer, f"{self.label}:{node.start_mark.line + 1}")


@dataclass
class Parsed:
    """Settings and what was wrong with their text. Without any the text is no YAML at all."""

    settings: Settings | None = None
    problems: list[Problem] = field(default_factory=list)


def parse(text: str, source: YamlSource) -> Parsed:
    """Read one YAML document; an empty text is an empty mapping.

    Problems never quote the text: it may hold secrets.
    """
    root, broken = _compose(text, source)
    if broken is not None:
        return Parsed(problems=[broken])
    if root is None:
        return Parsed({(): Setting(Nesting.MAPPING, source.origin())})
    reader = _Reader(source)
    return Parsed(reader.node(root, ()), reader.problems)


def _compose(text: str, source: YamlSource) -> tuple[goyaml.Node | None, Problem | None]:
    try:
        documents = goyaml.compose(text)
    except goyaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        # The parser quotes names of aliases and tags: a value in the wrong place may be one.
        told = _QUOTED.sub(_unquoted, error.problem or "")
        column = error.problem_mark.column + 1 if error.problem_mark else 1
        reason = f"not valid YAML: {told} (column {column})"
        where = f"{source.label}:{line}" if source.lines else source.label
        fix = _FLOW_HINT if "${" in "".join(text.splitlines()[line - 1 : line]) else ""
    except goyaml.YAMLError:
        reason, where = "not valid YAML: it holds characters that are not allowed", source.label
        fix = ""
    else:
        if len(documents) <= 1:
            return (documents[0] if documents else None), None
        where = source.origin(documents[1]).text
        reason = "a second YAML document starts here: one document is read from a file"
        fix = ""
    return None, Problem(path="", origin=where, reason=reason, fix=fix, code=_PARSER)


def _unquoted(match: re.Match[str]) -> str:
    """Return what the parser says between quotes, if it is of the grammar, not of the text."""
    quoted = match[1] or match[2] or ""
    return match[0] if len(quoted) <= 1 or quoted.startswith("<") else "..."


class _Reader:
    """Turns composed nodes into settings. Keeps what is wrong, and goes on."""

    def __init__(self, source: YamlSource) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._above: set[int] = set()
        self._count = 0

    def node(self, node: goyaml.Node, path: Path, origin: Origin | None = None) -> Settings:
        origin = origin or self._source.origin(node)
        self._count += 1
        if id(node) in self._above:
            return self._refuse(path, origin, "an alias that contains itself")
        if self._count > _MOST_NODES:
            if self._count == _MOST_NODES + 1:
                self._refuse((), origin, f"more than {_MOST_NODES} values: aliases of aliases?")
            return {path: Setting(None, origin)}
        if isinstance(node, goyaml.ScalarNode):
            return self._scalar(node, path, origin)
        self._above.add(id(node))
        try:
            if isinstance(node, goyaml.MappingNode):
                return self._mapping(node, path, origin)
            found = {path: Setting(Nesting.LIST, origin)}
            for index, item in enumerate(node.value):
                found |= self.node(item, (*path, index))
            return found
        finally:
            self._above.discard(id(node))

    def _scalar(self, node: goyaml.ScalarNode, path: Path, origin: Origin) -> Settings:
        text: str = node.value
        if node.tag not in goyaml.JSON_TAGS:
            return self._refuse(path, origin, "has a YAML tag that is not supported")
        try:
            value = goyaml.scalar(node)
        except goyaml.MarkedYAMLError as error:
            return self._refuse(path, origin, error.problem or "")
        return {path: Setting(value, origin, text)}

    def _mapping(self, node: goyaml.MappingNode, path: Path, origin: Origin) -> Settings:
        own: dict[str, Settings] = {}
        lines: dict[str, Origin] = {}
        merged: dict[str, Settings] = {}
        for key, value in node.value:
            place = self._source.origin(key)
            if key.tag == goyaml.MERGE:
                for keys in self._merged(value, path):
                    merged = {**keys, **merged}
                continue
            name = self._key(key, path, place)
            if name in lines:
                self._duplicate((*path, name), lines[name], place)
            lines[name] = place
            own[name] = self.node(value, (*path, name), place)
        found = {path: Setting(Nesting.MAPPING, origin)}
        for below in {**merged, **own}.values():
            found |= below
        return found

    def _merged(self, node: goyaml.Node, path: Path) -> Iterator[Mapping[str, Settings]]:
        """Yield what the mappings of a `<<` key hold, by key; the first one wins."""
        wanted = node.value if isinstance(node, goyaml.SequenceNode) else [node]
        for item in wanted:
            found = self.node(item, path)
            if not found[path].is_mapping:
                self._refuse(path, self._source.origin(item), "<< takes mappings only")
                continue
            keys: defaultdict[str, dict[Path, Setting]] = defaultdict(dict)
            for place, setting in found.items():
                if place != path:
                    keys[str(place[len(path)])][place] = setting
            yield keys

    def _key(self, node: goyaml.Node, path: Path, origin: Origin) -> str:
        try:
            return goyaml.key_of(node)
        except goyaml.MarkedYAMLError as error:
            self._refuse(path, origin, error.problem or "")
            return "?"

    def _duplicate(self, path: Path, first: Origin, second: Origin) -> None:
        # Both lines where there are lines; a variable's text is one line to the reader.
        where = f" in {first}" if self._source.lines else ""
        self._refuse(path, second, f"is given twice, first{where}" if where else "is given twice")

    def _refuse(self, path: Path, origin: Origin, reason: str) -> Settings:
        problem = Problem(path=dotted(path), origin=str(origin), reason=reason)
        if problem not in self.problems:
            self.problems.append(problem)
        return {path: Setting(None, origin)}


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
    return shape is None or shape.kind is not FieldKind.OPEN


def _replaced(
    item: Setting, path: Path, env: Mapping[str, str], problems: list[Problem]
) -> Setting:
    variables: dict[str, None] = {}

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            if match[0] == "${":
                problems.append(
                    _placeholder_problem(item, path, "", "has a ${ that starts no ${NAME}")
                )
            return "${"
        variables[name] = None
        if name not in env:
            reason = f"the environment variable {name} is not set"
            problems.append(_placeholder_problem(item, path, name, reason))
        return env.get(name, "")

    return replace(item, value=_TOKEN.sub(put, item.value), variables=tuple(variables))


def _placeholder_problem(item: Setting, path: Path, name: str, reason: str) -> Problem:
    literal = f"write $${{{name}}} for the plain text ${{{name}}}"
    fix = f"set {name}, or {literal}" if name else "write $${ for a plain ${"
    return Problem(path=dotted(path), origin=str(item.origin), reason=reason, fix=fix)
