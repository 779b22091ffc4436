"""Whether what a cluster has to keep of a configuration fits in.

The API takes 1 MiB in a Secret or ConfigMap. Helm keeps each release in one Secret, packed, and so
does the installer with its state. What cannot fit is refused before anything is changed: Helm would
find out at the end of its work.
https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Any

from cto.errors import ConfigError

MOST_BYTES = 1 << 20
# What the state has beside the configuration: some ten thousand objects, packed.
_ROOM = 128 << 10
_KEPT_AS_BASE64 = 4 / 3


def packed(text: str) -> bytes:
    """Return a text as it is kept: the same bytes for the same text."""
    return gzip.compress(text.encode(), mtime=0)


def unpacked(data: bytes) -> str:
    """Return the text.

    Raises:
        ValueError: The bytes are damaged.
    """
    try:
        return gzip.decompress(data).decode()
    except (OSError, EOFError, zlib.error) as error:
        text = "not packed by gzip"
        raise ValueError(text) from error


def refuse_oversized(values: Mapping[str, Mapping[str, Any]], config: Mapping[str, Any]) -> None:
    """Refuse values that no cluster could keep.

    Args:
        values: Component -> the values of its release.
        config: The effective configuration.

    Raises:
        ConfigError: CTO-1355, naming component and size.
    """
    for name, given in values.items():
        size = int(_size(given) * _KEPT_AS_BASE64)
        if size > MOST_BYTES:
            message = (
                f"the values of {name} are too large: {_mib(size)} MiB packed, and Helm's record "
                "of a release may have 1 MiB"
            )
            raise ConfigError("CTO-1355", message)
    size = _size(config)
    if size > MOST_BYTES - _ROOM:
        parts = {name: _size(item) for name, item in config.get("components", {}).items()}
        largest = max(parts, key=lambda name: parts[name], default="")
        most = _mib(parts.get(largest, 0))
        message = (
            f"the configuration is too large: {_mib(size)} MiB packed, and the installer's state "
            f"may have 1 MiB; the most is in components.{largest}, {most} MiB"
        )
        raise ConfigError("CTO-1355", message)


def _size(data: Mapping[str, Any]) -> int:
    """Return the size of data as it is kept; of what fits anyway, a bound."""
    text = json.dumps(data)
    return len(text) if len(text) < MOST_BYTES // 2 else len(packed(text))


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
