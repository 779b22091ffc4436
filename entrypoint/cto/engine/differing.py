"""Names the field that differs where the API server names only a whole: `spec` of a StatefulSet.

"updates to statefulset spec for fields other than 'replicas', ... are forbidden" tells which fields
may change, and leaves it to the reader to find the one that does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cto.objects import Manifest

_MAY_CHANGE = re.compile(r"'(\w+)'")


def narrowed(field: str, text: str, wanted: Manifest, live: Manifest) -> str:
    """Return the fields of a whole spec that are to be others; `field` itself if none is found."""
    new, old = wanted.get(field), live.get(field)
    if field != "spec" or not (isinstance(new, Mapping) and isinstance(old, Mapping)):
        return field
    free = set(_MAY_CHANGE.findall(text))
    names = [name for name in new if name not in free and not _holds(old.get(name), new[name])]
    # More than a few say no more than the whole.
    return ", ".join(f"{field}.{name}" for name in names) if 0 < len(names) <= 3 else field


def _holds(live: Any, wanted: Any) -> bool:
    """Whether a value is there, with whatever the API server filled in beside it."""
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _holds(live.get(name), value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(live, list)
            and len(live) == len(wanted)
            and all(_holds(*pair) for pair in zip(live, wanted, strict=True))
        )
    return bool(live == wanted)
