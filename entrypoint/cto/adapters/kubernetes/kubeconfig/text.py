"""Our entries in and out of the text of somebody's kubeconfig: every other byte stays.

A file that is read and written again as a whole loses its comments, and may lose what it says: one
program's quotes are needless to it and needed by the next
(https://github.com/kubernetes/kubernetes/issues/82296). So only the places change that are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from cto.adapters.kubernetes.kubeconfig.entries import SECTIONS, made_document
from cto.adapters.kubernetes.kubeconfig.yamltree import Node, first_document
from cto.objects import dump_yaml

_BLANK = r"(?:\s|#[^\r\n]*)*"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOM = "\ufeff"
_CURRENT = "current-context"
_Splice = tuple[int, int, str]


class UnsafeError(Exception):
    """The text is written in a way that cannot be changed without a risk; the message says why."""


def _refuse(why: str) -> NoReturn:
    raise UnsafeError(why)


def put(text: str, sections: Mapping[str, Mapping[str, Any]], current: str | None) -> str:
    """Return the text with our entries in it, replaced or added.

    Args:
        text: The kubeconfig.
        sections: The entry of each section, all of one name.
        current: The new current context; None to keep what there is.

    Raises:
        UnsafeError: Only a person can do that without a risk.
    """
    return _edited(text, lambda editor: editor.put(sections, current))


def take(text: str, name: str, current: str | None) -> str:
    """Return the text without the entries of a name; as for `put` otherwise."""
    return _edited(text, lambda editor: editor.take(name, current))


def _edited(text: str, edit: Any) -> str:
    bom, body = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    editor = _Editor(body)
    splices: Iterator[_Splice] = edit(editor)
    # Sorting is stable: what goes to one place stays in its order.
    done, at = [bom], 0
    for start, end, new in sorted(splices, key=lambda splice: splice[:2]):
        if start < at:
            _refuse("two entries overlap")
        done += [body[at:start], new]
        at = end
    return "".join((*done, body[at:]))


class _Editor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = "\r\n" if re.match(r"[^\n]*\r\n", text) else "\n"
        self._root, _ = first_document(text)

    def put(
        self, sections: Mapping[str, Mapping[str, Any]], current: str | None
    ) -> Iterator[_Splice]:
        root = self._root
        if root is None or root.kind == "scalar" or (root.kind == "mapping" and not root.parts):
            yield self._whole(root, made_document(sections, current or ""))
            return
        values = {section: self._value(root, section) for section in sections}
        for section, item in sections.items():
            if value := values[section]:
                yield from self._put_item(value, item)
        absent = {
            section: [dict(item)] for section, item in sections.items() if not values[section]
        }
        if current is not None:
            if place := self._value(root, _CURRENT):
                yield self._scalar(place, current)
            else:
                absent[_CURRENT] = current  # type: ignore[assignment] # the one that is no list
        for key, content in absent.items():
            yield self._pair(root, key, content)

    def take(self, name: str, current: str | None) -> Iterator[_Splice]:
        root = self._root
        if root is None:
            return
        for section in SECTIONS:
            if value := self._value(root, section):
                yield from self._take_items(root, section, value, name)
        place = self._value(root, _CURRENT)
        if current is not None and place:
            yield self._scalar(place, current)

    def _value(self, root: Node, key: str) -> Node | None:
        values = root.at(key)
        if len(values) > 1:
            _refuse(f"{key} is written twice")
        return values[0] if values else None

    # a list

    def _put_item(self, value: Node, item: Mapping[str, Any]) -> Iterator[_Splice]:
        if value.kind == "scalar" and value.plain and value.value in _NULLS:
            yield from self._fill(value, item)
        elif value.kind != "sequence":
            _refuse("a section is no list, or a reference to one that stands elsewhere")
        elif ours := self._named(value, item["name"]):
            yield self._replaced(value, ours[0], item)
            yield from self._without(value, ours[1:])
        elif not value.parts:
            yield from self._fill(value, item)
        else:
            yield self._appended(value, item)

    def _fill(self, value: Node, item: Mapping[str, Any]) -> Iterator[_Splice]:
        """Put the first item into a list that is empty, or null."""
        if self._in_flow(value):
            yield value.start, value.end, self._spaced(value.start, f"[{_json(item)}]")
            return
        before = self._text[: value.start].rstrip(" ")
        yield len(before), value.end, ""
        column = self._column(self._key_of(value).start)
        yield self._lines(value.end, _block([item], column))

    def _appended(self, value: Node, item: Mapping[str, Any]) -> _Splice:
        last = value.parts[-1]
        if value.flow:
            return last.end, last.end, f", {_json(item)}"
        column = self._column(self._dash(value, 0))
        return self._lines(last.end, _block([item], column))

    def _replaced(self, value: Node, old: Node, item: Mapping[str, Any]) -> _Splice:
        if value.flow:
            return old.start, old.end, _json(item)
        dash = self._dash(value, value.parts.index(old))
        start, end = self._whole_lines(dash, old.end)
        _, _, new = self._lines(start, _block([item], self._column(dash)))
        return start, end, new if end < len(self._text) or self._ends_line(end) else new.rstrip()

    def _take_items(self, root: Node, section: str, value: Node, name: str) -> Iterator[_Splice]:
        ours = self._named(value, name)
        if not ours:
            return
        yield from self._without(value, ours)
        if not value.flow and len(ours) == len(value.parts):
            key = next(key for key, held in root.pairs if held is value)
            colon = self._match(rf"{_BLANK}:", key.end, f"{section} is written in an unusual way")
            yield colon, colon, " []"

    def _without(self, value: Node, gone: Sequence[Node]) -> Iterator[_Splice]:
        for node in gone:
            index = value.parts.index(node)
            if not value.flow:
                start, end = self._whole_lines(self._dash(value, index), node.end)
                if end == len(self._text) and not self._ends_line(end):
                    # The last line has no end, and the one before it is to be the last.
                    start -= len(self._newline) if self._text[:start].endswith(self._newline) else 0
                yield start, end, ""
            elif index:
                # With the comma before it.
                comma = self._match(
                    rf"{_BLANK},", value.parts[index - 1].end, "a list has no comma"
                )
                yield from self._around(value.parts[index - 1].end, comma, node)
            else:
                yield node.start, self._behind_comma(node, value), ""

    def _around(self, before: int, comma: int, node: Node) -> Iterator[_Splice]:
        if self._text[before : node.start].strip() == ",":
            yield before, node.end, ""
        else:
            yield comma - 1, comma, ""
            yield node.start, node.end, ""

    def _behind_comma(self, node: Node, value: Node) -> int:
        found = re.compile(rf"{_BLANK},[ \t]*").match(self._text, node.end, value.end)
        return found.end() if found and "#" not in found.group() else node.end

    def _named(self, value: Node, name: str) -> list[Node]:
        return [item for item in value.parts if [at.value for at in item.at("name")] == [name]]

    # a value, a pair, a document

    def _scalar(self, place: Node, value: str) -> _Splice:
        if place.kind not in ("scalar", "alias"):
            _refuse(f"{_CURRENT} is no text")
        written = self._text[place.start : place.end].rstrip()
        return place.start, place.start + len(written), self._spaced(place.start, json.dumps(value))

    def _pair(self, root: Node, key: str, content: Any) -> _Splice:
        if root.kind != "mapping":
            _refuse("the document is not a mapping")
        if root.flow:
            at = root.parts[-1].end
            return at, at, f", {json.dumps(key)}: {_json(content)}"
        column = self._column(root.parts[0].start)
        return self._lines(root.end, _indented(dump_yaml({key: content}), column))

    def _whole(self, root: Node | None, document: Mapping[str, Any]) -> _Splice:
        is_mapping = root is not None and root.kind == "mapping"
        if root and not is_mapping and not (root.plain and root.value in _NULLS):
            _refuse("the document is not a mapping")
        if root and (root.value or is_mapping):
            return root.start, root.end, _json(document)
        at = root.start if root else len(self._text)
        return self._lines(at, dump_yaml(dict(document)).splitlines())

    # the text

    def _in_flow(self, value: Node) -> bool:
        return bool(self._root and self._root.flow) and value is not self._root

    def _key_of(self, value: Node) -> Node:
        pairs = self._root.pairs if self._root else ()
        return next(key for key, held in pairs if held is value)

    def _spaced(self, at: int, new: str) -> str:
        return new if self._text[at - 1 : at].isspace() else f" {new}"

    def _column(self, at: int) -> int:
        start = self._text.rfind("\n", 0, at) + 1
        if self._text[start:at].strip(" "):
            _refuse("a list begins in the middle of a line")
        return at - start

    def _dash(self, value: Node, index: int) -> int:
        before = value.parts[index - 1].end if index else value.start
        return self._match(rf"{_BLANK}-", before, "a list is written in an unusual way") - 1

    def _match(self, pattern: str, at: int, otherwise: str) -> int:
        found = re.compile(pattern).match(self._text, at)
        if not found:
            _refuse(otherwise)
        return found.end()

    def _whole_lines(self, start: int, end: int) -> tuple[int, int]:
        return start - self._column(start), self._line_end(end)

    def _line_end(self, at: int) -> int:
        """Return where the next line begins; the end of a block scalar is there already."""
        if at and self._text[at - 1] == "\n":
            return at
        rest = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r?\n|\Z)").match(self._text, at)
        if not rest:
            _refuse("something follows on the same line")
        return rest.end()

    def _ends_line(self, at: int) -> bool:
        return not at or self._text[at - 1] == "\n"

    def _lines(self, at: int, lines: Sequence[str]) -> _Splice:
        """Return lines put behind the line of a place; a text keeps its missing last newline."""
        place = self._line_end(at)
        new = self._newline.join(lines)
        new = new + self._newline if self._ends_line(place) else self._newline + new
        return place, place, new


def _json(data: Any) -> str:
    """Return what is YAML too, in one line, with quotes around every text."""
    return json.dumps(data, ensure_ascii=False)


def _block(data: Any, column: int) -> list[str]:
    return _indented(dump_yaml(data), column)


def _indented(text: str, column: int) -> list[str]:
    return [" " * column + line for line in text.splitlines()]
