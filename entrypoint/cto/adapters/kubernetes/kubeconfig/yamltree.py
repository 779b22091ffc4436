"""Where the parts of a YAML document stand in its text.

Made of the parser's events: decoded YAML has no positions, and a composed tree hides what was an
alias.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Node:
    """A part of a document: `text[start:end]`.

    Attributes:
        kind: `mapping`, `sequence`, `scalar` or `alias`.
        end: Behind its last character. Of a collection in block style it is the end of its last
            part: the parser's own mark is behind the comments that follow.
        flow: Written with braces or brackets.
        value: Of a scalar.
        plain: A scalar without quotes and without a tag.
        parts: Items; of a mapping keys and values in turn.
    """

    kind: str
    start: int
    end: int
    flow: bool = False
    value: str = ""
    plain: bool = False
    parts: tuple[Node, ...] = ()

    @property
    def pairs(self) -> Sequence[tuple[Node, Node]]:
        if self.kind != "mapping":
            return ()
        return tuple(zip(self.parts[::2], self.parts[1::2], strict=True))

    def at(self, key: str) -> list[Node]:
        """Return the values of a key: two, if it is written twice."""
        return [value for name, value in self.pairs if name.value == key]


def first_document(text: str) -> tuple[Node | None, int]:
    """Return the first document, None if there is none, and where it ends.

    kubectl reads no further either, whatever follows.

    Raises:
        yaml.YAMLError: It is not YAML.
    """
    events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            root = _node(next(events), events)
            return root, next(events).start_mark.index
    return None, len(text)


def _node(event: Any, events: Iterator[Any]) -> Node:
    start, end = event.start_mark.index, event.end_mark.index
    match event:
        case yaml.ScalarEvent():
            plain = event.style in (None, "") and event.tag is None
            return Node("scalar", start, end, value=event.value, plain=plain)
        case yaml.AliasEvent():
            return Node("alias", start, end)
        case yaml.MappingStartEvent():
            kind = "mapping"
        case _:
            kind = "sequence"
    parts = []
    inner = next(events)
    while not isinstance(inner, yaml.CollectionEndEvent):
        parts.append(_node(inner, events))
        inner = next(events)
    last = parts[-1].end if parts else end
    end = _end(inner) if event.flow_style else last
    return Node(kind, start, end, flow=bool(event.flow_style), parts=tuple(parts))


def _end(event: Any) -> int:
    return int(event.end_mark.index)
