"""What a cluster cannot take: more nodes than it has, and what it could not keep.

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

from cto.config.model import Config
from cto.errors import ConfigError
from cto.plan.observed import Observed

MOST_BYTES = 1 << 20
# What the state has beside the configuration: some ten thousand objects, packed.
_ROOM = 128 << 10
_KEPT_AS_BASE64 = 4 / 3
_ANEW = "cto uninstall --provider kind --cluster, then cto install --nodes {nodes}"


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


def nodes_warnings(config: Config, observed: Observed, *, resizes: bool) -> tuple[str, ...]:
    """Return what to know about the nodes of a cluster that we make.

    With `resizes`, nodes can be added to a cluster that is there.

    Raises:
        ConfigError: CTO-1320, high availability on a single node.
    """
    wanted = config.cluster.nodes
    has = observed.nodes if observed.exists and not resizes else wanted
    if config.features.high_availability and has == 1 and not observed.simulated:
        raise _single(exists=observed.exists)
    if has == wanted:
        return ()
    anew = _ANEW.format(nodes=wanted)
    text = f"the cluster keeps its {_count(has)} ({wanted} wanted); to make it anew: {anew}"
    if config.features.high_availability and has < wanted:
        text += ". Until then replicas share nodes"
    return (text,)


def simulated_warnings(observed: Observed) -> tuple[str, ...]:
    """Return what to know where some nodes are kwok's and others are real."""
    if observed.simulated or not observed.simulated_nodes:
        return ()
    fakes = observed.simulated_nodes
    verb = "is" if len(fakes) == 1 else "are"
    text = (
        f"{_count(len(fakes))} of {observed.nodes} {verb} simulated by kwok ({', '.join(fakes)}): "
        "pods that are placed there are called running, and nothing runs in them; "
        "a taint keeps them away"
    )
    return (text,)


def _single(*, exists: bool) -> ConfigError:
    anew = _ANEW.format(nodes=3)
    hint = f"Make the cluster anew: {anew}" if exists else "Give it three nodes: --nodes 3"
    return ConfigError(
        "CTO-1320",
        "high availability is not possible on a single node",
        hint=f"{hint}\nor switch it off: features.high_availability: false",
    )


def _count(number: int) -> str:
    return f"{number} node{'' if number == 1 else 's'}"
