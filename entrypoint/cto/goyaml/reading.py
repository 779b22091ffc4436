"""Reads YAML."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

import yaml
from yaml import MappingNode, MarkedYAMLError, Node, ScalarNode, SequenceNode, YAMLError

from cto.goyaml.rules import (
    BINARY,
    BOOL,
    BOOLS,
    FLOAT,
    INT,
    MERGE,
    NO_JSON,
    NULL,
    NULLS,
    PREFIX,
    STR,
    TAGS,
    number_of,
    tag_of,
)

# Aliases of aliases can make a small text billions of values. Go refuses such texts as well.
_MOST_ALIASED = 400_000
_DEEPEST = 1_000
_BRACKET = re.compile(r"[\[\]{}]")
_INDENTED = re.compile(rf"^[ ?:-]{{{_DEEPEST}}}", re.MULTILINE)
_TOO_DEEP = "nested too deeply"


# mypy sees no class behind getattr. libyaml reads a megabyte of CRDs in a second, Python in ten.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode:
            return tag_of(value) if implicit[0] else STR
        return super().resolve(kind, value, implicit)


def load(text: str, *, duplicates: bool = False) -> Any:
    """Return the one document of a YAML text, as JSON's types.

    Args:
        text: The YAML.
        duplicates: Let the last of two equal keys win, as Helm and kubectl do, instead of
            refusing them.

    Raises:
        YAMLError: The text is not YAML, or holds what JSON has not. The mark has line and column.
    """
    nodes = compose(text)
    if len(nodes) > 1:
        problem = "a second document starts here, where one is read"
        raise MarkedYAMLError(None, None, problem, nodes[1].start_mark)
    return construct(nodes[0], text, duplicates=duplicates) if nodes else None


def load_json(text: str | bytes) -> Any:
    """Return the data of a JSON text that somebody else wrote.

    Raises:
        ValueError: It is not JSON, or nested deeper than can be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def load_all(text: str, *, duplicates: bool = False) -> Iterator[Any]:
    """Yield the documents of a YAML stream; see `load`."""
    for node in compose(text):
        yield construct(node, text, duplicates=duplicates)


def compose(text: str) -> list[Node]:
    """Return the documents as nodes, which keep how and where each value was written.

    Raises:
        YAMLError: The text is not YAML.
    """
    try:
        _refuse_depth(text)
        return [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
    except UnicodeEncodeError as error:
        problem = "it holds characters that are not allowed"
        raise YAMLError(problem) from error


def _refuse_depth(text: str) -> None:
    """Refuse what the parser in C would end the process with: it recurses without a limit."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(text):
        depth = max(0, depth + (1 if bracket[0] in "[{" else -1))
        deepest = max(deepest, depth)
    if deepest < _DEEPEST and not _INDENTED.search(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _refused(event, _TOO_DEEP)


def construct(node: Node, text: str, *, duplicates: bool = False) -> Any:
    """Return the data of a node of a text; see `load`."""
    try:
        return _Builder(len(text) + _MOST_ALIASED, duplicates=duplicates).value(node)
    except RecursionError as error:
        raise _refused(node, _TOO_DEEP) from error


def scalar(node: ScalarNode) -> Any:
    """Return the value of a single node.

    Raises:
        YAMLError: It does not fit its tag, or is a number that JSON has not.
    """
    text: str = node.value
    value: Any = text
    match node.tag:
        case tag if tag == NULL:
            value, fits = None, text in NULLS
        case tag if tag == BOOL:
            value = BOOLS.get(text)
            fits = value is not None
        case tag if tag in {INT, FLOAT}:
            if text in NO_JSON:
                raise _refused(node, f"JSON has no number {text}; in quotes it is text")
            number = number_of(text)
            value = float(number) if tag == FLOAT and number is not None else number
            fits = isinstance(value, int if tag == INT else float)
        case tag if tag == BINARY:
            value = _decoded(text)
            fits = value is not None
        case _:
            fits = True
    if not fits:
        raise _refused(node, "does not fit its YAML tag")
    return value


def _decoded(text: str) -> str | None:
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode(errors="replace")
    except binascii.Error:
        return None


def _refused(node: Any, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(None, None, problem, node.start_mark)


class _Builder:
    """Makes data of composed nodes."""

    def __init__(self, most: int, *, duplicates: bool) -> None:
        self._left = most
        self._duplicates = duplicates
        self._above: set[int] = set()

    def value(self, node: Node) -> Any:
        self._left -= 1
        if self._left < 0:
            raise _refused(node, "more values than the text has characters: aliases of aliases?")
        if node.tag not in TAGS and node.tag.startswith(PREFIX):
            raise _refused(node, "has a YAML tag that is not supported")
        if isinstance(node, ScalarNode):
            return node.value if node.tag == STR else scalar(node)
        if id(node) in self._above:
            raise _refused(node, "an alias that contains itself")
        self._above.add(id(node))
        made: Any
        if isinstance(node, MappingNode):
            made = self._mapping(node)
        else:
            made = [self.value(item) for item in node.value]
        self._above.discard(id(node))
        return made

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        given: set[str] = set()
        for key, value in node.value:
            if key.tag == MERGE:
                # As in Go, a later one of the two wins, `<<` or key; the first of several mappings.
                found.update(self._merged(value))
                continue
            name = key_of(key)
            if name in given and not self._duplicates:
                raise _refused(key, f"the key {name!r} is given twice")
            given.add(name)
            found[name] = self.value(value)
        return found

    def _merged(self, node: Node) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for item in reversed(node.value if isinstance(node, SequenceNode) else [node]):
            if not isinstance(item, MappingNode):
                raise _refused(item, "<< takes mappings only")
            merged.update(self.value(item))
        return merged


def key_of(node: Node) -> str:
    """Return the text that a key is in JSON.

    Go makes `true` of the bare keys `on` and `y`, which nobody means who writes them. Here they
    stay words: Go's own programs put such keys in quotes, and so does our writer.

    Raises:
        YAMLError: It cannot be a key there.
    """
    if not isinstance(node, ScalarNode):
        raise _refused(node, "a key must be text")
    if node.tag == STR or (node.tag == BOOL and node.value.lower() not in {"true", "false"}):
        return str(node.value)
    if node.tag == FLOAT and node.value in NO_JSON:
        return str(node.value).lower().removeprefix("+")
    value = scalar(node)
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _short(value)
        case _:
            raise _refused(node, "a key must be text")


def _short(number: float) -> str:
    """Return a float as sigs.k8s.io/yaml writes one that is a key: with 32 bits."""
    try:
        near = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return ".inf" if number > 0 else "-.inf"
    digits = next(n for n in range(1, 10) if _as_32_bits(f"{near:.{n - 1}e}") == near)
    exact = f"{near:.{digits - 1}e}"
    if int(exact.partition("e")[2]) >= 6:  # where Go begins to write e+06
        return exact
    return f"{near:.{max(digits, 6)}g}"


def _as_32_bits(text: str) -> float:
    number: float = struct.unpack("<f", struct.pack("<f", float(text)))[0]
    return number
