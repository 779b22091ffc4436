"""What go-yaml v2 takes a plain scalar for."""

from __future__ import annotations

import math
import re

PREFIX = "tag:yaml.org,2002:"
MAP, SEQ, STR, MERGE = (PREFIX + name for name in ("map", "seq", "str", "merge"))
NULL, BOOL, INT, FLOAT = (PREFIX + name for name in ("null", "bool", "int", "float"))
BINARY = PREFIX + "binary"
# Go keeps dates as the text that they were written as.
JSON_TAGS = frozenset({STR, MERGE, NULL, BOOL, INT, FLOAT, PREFIX + "timestamp"})
_COLLECTIONS = frozenset(PREFIX + name for name in ("map", "seq", "set", "omap", "pairs"))

# Others' private tags (`!name`) say nothing to Go, and so nothing here.
TAGS = JSON_TAGS | _COLLECTIONS | {BINARY}

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE, _FALSE = ("y", "yes", "true", "on"), ("n", "no", "false", "off")
BOOLS = {
    written: value
    for words, value in ((_TRUE, True), (_FALSE, False))
    for word in words
    for written in (word, word.capitalize(), word.upper())
}
NO_JSON = frozenset(
    {f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")}
    | {".nan", ".NaN", ".NAN"}
)
_WORDS = {
    **dict.fromkeys(NULLS, NULL),
    **dict.fromkeys(BOOLS, BOOL),
    **dict.fromkeys(NO_JSON, FLOAT),
    "<<": MERGE,
}

_NUMBER_STARTS = frozenset("+-.0123456789")
_POWERS = re.compile(r"[-+]?0(?:[bB][01]+|[oO][0-7]+|[xX][0-9a-fA-F]+)")
_OCTAL = re.compile(r"[-+]?0[0-7]*")
_DECIMAL = re.compile(r"[-+]?[1-9][0-9]*")
# Go takes a sign behind the prefix, too.
_SIGNED_BINARY = re.compile(r"0b[-+][01]+")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_POINT_FIRST = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")


def tag_of(text: str) -> str:
    """Return the type of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return STR
    match number_of(text):
        case None:
            return STR
        case int():
            return INT
        case _:
            return FLOAT


def number_of(text: str) -> int | float | None:
    """Return what Go makes of a text; its numbers may have underscores anywhere."""
    if text[:1] not in _NUMBER_STARTS:
        return None
    if text[0] == ".":
        return _finite(text) if _POINT_FIRST.fullmatch(text) else None
    plain = text.replace("_", "")
    whole = _integer(plain)
    if whole is not None:
        return whole
    return _finite(plain) if _REAL.fullmatch(plain) else None


def _integer(plain: str) -> int | None:
    if _DECIMAL.fullmatch(plain):
        # Go makes a float of what 64 bits cannot hold. Here it stays exact, and is written as it
        # was read.
        return int(plain) if _finite(plain) is not None else None
    if _POWERS.fullmatch(plain):
        number = int(plain, 0)
    elif _OCTAL.fullmatch(plain):
        number = int(plain, 8)
    elif _SIGNED_BINARY.fullmatch(plain):
        number = int(plain[2:], 2)  # noqa: FURB166 - base 0 wants the sign first
    else:
        return None
    signed = plain[0] in "+-" or plain[2:3] in {"+", "-"}
    return number if -(1 << 63) <= number < 1 << (63 if signed else 64) else None


def _finite(plain: str) -> float | None:
    number = float(plain)
    return number if math.isfinite(number) else None
