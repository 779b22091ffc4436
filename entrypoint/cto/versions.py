"""Which of two versions is older, by the rules of https://semver.org/#spec-item-11.

As Helm reads them: a leading `v` and missing numbers are fine. A label cannot hold the `+` of build
metadata, so it stands as `_` there, as in Helm's own labels.
"""

from __future__ import annotations

import re

_VERSION = re.compile(
    r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:[+_][0-9A-Za-z._+-]*)?"
)
_Part = tuple[int, int, str]
_Key = tuple[int, int, int, int, tuple[_Part, ...]]


def is_older(new: str, old: str) -> bool | None:
    """Tell whether `new` comes before `old`; None if that cannot be told."""
    new_key, old_key = key(new), key(old)
    return None if new_key is None or old_key is None else new_key < old_key


def key(version: str) -> _Key | None:
    """Return what versions are ordered by; None if it is none. Build metadata has no rank."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return None
    major, minor, patch, pre = found.groups()
    parts = tuple(_part(part) for part in pre.split(".")) if pre else ()
    return int(major), int(minor or 0), int(patch or 0), 0 if parts else 1, parts


def _part(text: str) -> _Part:
    """A number comes before a word, and a smaller number before a greater one."""
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)
