"""Reads YAML into a tree that knows the line of every value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from cto import goyaml
from cto.config.problems import Path, Problem, dotted
from cto.config.tree import Branch, Layer, Listing, Node, Origin, Scalar

# Aliases can make a small file a tree of billions of nodes.
_MOST_NODES = 100_000
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_FLOW_HINT = "inside { } and [ ] put ${NAME} in quotes"
_PARSER = "CTO-1301"


@dataclass(frozen=True)
class Source:
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
    """A tree and what was wrong with its text. Without a tree the text is no YAML at all."""

    tree: Node | None = None
    problems: list[Problem] = field(default_factory=list)


def parse(text: str, source: Source) -> Parsed:
    """Read one YAML document; an empty text is an empty mapping.

    Problems never quote the text: it may hold secrets.
    """
    root, broken = _compose(text, source)
    if broken is not None:
        return Parsed(problems=[broken])
    if root is None:
        return Parsed(Branch({}, source.origin()))
    reader = _Reader(source)
    tree = reader.node(root, ())
    return Parsed(tree, reader.problems)


def _compose(text: str, source: Source) -> tuple[goyaml.Node | None, Problem | None]:
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
    """Turns composed nodes into a tree. Keeps what is wrong, and goes on."""

    def __init__(self, source: Source) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._above: set[int] = set()
        self._count = 0

    def node(self, node: goyaml.Node, path: Path, origin: Origin | None = None) -> Node:
        origin = origin or self._source.origin(node)
        self._count += 1
        if id(node) in self._above:
            return self._refuse(path, origin, "an alias that contains itself")
        if self._count > _MOST_NODES:
            if self._count == _MOST_NODES + 1:
                self._refuse((), origin, f"more than {_MOST_NODES} values: aliases of aliases?")
            return Scalar(None, origin)
        if isinstance(node, goyaml.ScalarNode):
            return self._scalar(node, path, origin)
        self._above.add(id(node))
        try:
            if isinstance(node, goyaml.MappingNode):
                return self._mapping(node, path, origin)
            items = (self.node(item, (*path, i)) for i, item in enumerate(node.value))
            return Listing(tuple(items), origin)
        finally:
            self._above.discard(id(node))

    def _scalar(self, node: goyaml.ScalarNode, path: Path, origin: Origin) -> Node:
        text: str = node.value
        if node.tag not in goyaml.JSON_TAGS:
            return self._refuse(path, origin, "has a YAML tag that is not supported")
        try:
            value = goyaml.scalar(node)
        except goyaml.MarkedYAMLError as error:
            return self._refuse(path, origin, error.problem or "")
        return Scalar(value, origin, text)

    def _mapping(self, node: goyaml.MappingNode, path: Path, origin: Origin) -> Branch:
        children: dict[str, Node] = {}
        lines: dict[str, Origin] = {}
        merged: dict[str, Node] = {}
        for key, value in node.value:
            place = self._source.origin(key)
            if key.tag == goyaml.MERGE:
                for branch in self._merged(value, path):
                    merged = {**branch.children, **merged}
                continue
            name = self._key(key, path, place)
            if name in lines:
                self._duplicate((*path, name), lines[name], place)
            lines[name] = place
            children[name] = self.node(value, (*path, name), place)
        return Branch({**merged, **children}, origin)

    def _merged(self, node: goyaml.Node, path: Path) -> Iterator[Branch]:
        """Yield the mappings of a `<<` key; the first one wins."""
        wanted = node.value if isinstance(node, goyaml.SequenceNode) else [node]
        for item in wanted:
            found = self.node(item, path)
            if isinstance(found, Branch):
                yield found
            else:
                self._refuse(path, self._source.origin(item), "<< takes mappings only")

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

    def _refuse(self, path: Path, origin: Origin, reason: str) -> Scalar:
        problem = Problem(path=dotted(path), origin=str(origin), reason=reason)
        if problem not in self.problems:
            self.problems.append(problem)
        return Scalar(None, origin)


def relabelled(node: Node, origin: Origin) -> Node:
    """Return the tree with one origin for all values."""
    match node:
        case Branch():
            children = {key: relabelled(child, origin) for key, child in node.children.items()}
            return Branch(children, origin)
        case Listing():
            return Listing(tuple(relabelled(item, origin) for item in node.items), origin)
        case Scalar():
            return replace(node, origin=origin)
