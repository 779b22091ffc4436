"""A server-side apply that is good enough: maps are merged, everything else is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(live: Any, new: Any, previous: Any) -> Any:
    """Return `live` with `new` applied; keys that `previous` had and `new` lacks are removed."""
    if not (isinstance(live, Mapping) and isinstance(new, Mapping)):
        return new
    before = previous if isinstance(previous, Mapping) else {}
    gone = {key for key in before if key not in new}
    result = {key: value for key, value in live.items() if key not in gone}
    for key, value in new.items():
        result[key] = merged(result.get(key), value, before.get(key)) if key in result else value
    return result
