"""Writes YAML that every reader takes for the same data: those of YAML 1.1, of 1.2, and Go's."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import yaml
from yaml import Node, ScalarNode

from cto.goyaml.rules import STR, tag_of

_ONE_LINE = 1 << 30

# What some reader takes for a number or a date (base 60, commas, hexadecimal floats) is made of
# these. Versions and addresses, with more than one point, are nobody's number.
_NUMBER_LIKE = re.compile(r"[-+.]?[0-9.][-+0-9a-fA-FxXoOpP_.,:tTzZ ]*")
_DOTTED = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_OTHERS_WORD = re.compile(
    r"y|n|yes|no|on|off|true|false|null|~|=|<<|[-+]?\.?(?:inf|nan)|", re.IGNORECASE
)
# Tabs, breaks that only some readers know, and whatever does not print are written as escapes.
_ODD = re.compile(
    r"[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_NO_BLOCK = re.compile(r"\A[ \n]|[^\S\n]+(?:\n|\Z)|\n\n\Z")


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        if kind is ScalarNode:
            return tag_of(value) if implicit[0] else STR
        return super().resolve(kind, value, implicit)

    def ignore_aliases(self, _data: Any) -> bool:
        # An object that stands in two places is written twice: people read this, too.
        return True


def _write_text(dumper: Any, text: str) -> ScalarNode:
    node: ScalarNode = dumper.represent_scalar(STR, text, style=_style(text))
    return node


def _write_integer(dumper: Any, number: int) -> ScalarNode:
    # Beyond 64 bits Go has no integers: the tag is the one that the digits are read with.
    text = str(number)
    node: ScalarNode = dumper.represent_scalar(tag_of(text), text)
    return node


def _write_real(dumper: Any, number: float) -> ScalarNode:
    if not math.isfinite(number):
        problem = f"JSON has no number {number}"
        raise yaml.representer.RepresenterError(problem)
    node: ScalarNode = yaml.representer.SafeRepresenter.represent_float(dumper, number)
    return node


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(int, _write_integer)
_Dumper.add_representer(float, _write_real)


def serialize(node: Node) -> str:
    """Return a document of nodes as text, each value written as it was read."""
    text: str = yaml.serialize(node, Dumper=_Dumper, width=_ONE_LINE, allow_unicode=True)
    return text


def dump(data: Any) -> str:
    """Return YAML with the keys in their order, which every reader takes for the same data."""
    return _dumped(data, flow=False)


def dump_flow(data: Any) -> str:
    """Return YAML in one line."""
    if isinstance(data, str) and "\n" in data:
        return dump_flow([data])[1:-1]
    return _dumped(data, flow=True).removesuffix("\n").removesuffix("\n...")


def dump_json(data: Any) -> str:
    """Return JSON that is YAML, too.

    Not all is: YAML folds spaces around U+2028, refuses control characters that JSON leaves as
    they are, and takes no pair of surrogates for one character.
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False)
    return _ODD.sub(lambda odd: f"\\u{ord(odd[0]):04x}", text)


def _dumped(data: Any, *, flow: bool) -> str:
    text: str = yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=_ONE_LINE,
        default_flow_style=flow,
    )
    return text


def _style(text: str) -> str | None:
    """Return how a text is to be written, None for plain if the grammar lets it."""
    if _ODD.search(text):
        return '"'
    if "\n" in text:
        return '"' if _NO_BLOCK.search(text) else "|"
    if _OTHERS_WORD.fullmatch(text):
        return "'"
    number_like = _NUMBER_LIKE.fullmatch(text) and not _DOTTED.fullmatch(text)
    return "'" if number_like else None
