"""Containers that serve bundles, and which nodes use them.

Nothing is written down about it: nodes name their registries in containerd's files, also those of
clusters that others removed or stopped, and what no node names is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cto.adapters import mirrors
from cto.adapters.container import Container, Engine
from cto.adapters.kind_marker import NODE_LABEL
from cto.errors import CtoError

PREFIX = "cto-registry-"
ROLE_LABEL = "cto.dev/role"
REGISTRY = "registry"


def named_by(engine: Engine, node: str) -> tuple[str, ...]:
    """Return the registries that a running node asks, in this order."""
    return mirrors.registries(engine.execute(node, mirrors.reader()).stdout)


def sweep(engine: Engine, *, kept: str = "", gone: str = "") -> None:
    """Remove the registries that no node names, if that can be told of all nodes.

    One that is removed while another installer is about to use it is made again by that.

    Args:
        engine: Docker.
        kept: One that stays.
        gone: A cluster whose nodes do not count.
    """
    found = [one.name for one in engine.containers(**{ROLE_LABEL: REGISTRY}) if one.name != kept]
    if not found:
        return
    nodes = [one for one in engine.containers(**{NODE_LABEL: ""}) if one.labels[NODE_LABEL] != gone]
    if not all(node.running for node in nodes):
        return
    named = {name for node in nodes for name in _named(engine, node)}
    for name in found:
        if name not in named:
            engine.remove(name)


def _named(engine: Engine, node: Container) -> Sequence[str]:
    try:
        return named_by(engine, node.name)
    except CtoError:
        # It went away meanwhile: then it needs nothing.
        if engine.container(node.id) is None:
            return ()
        raise
