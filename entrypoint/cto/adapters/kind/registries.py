"""Containers that serve bundles, and which nodes use them.

Nothing is written down about it: nodes name their registries in containerd's files, also those of
clusters that others removed or stopped, and what no node names is not needed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cto.adapters.docker import DockerContainer, Engine
from cto.adapters.kind import mirrors
from cto.adapters.kind.marker import CLUSTER, MARKER, NODE_LABEL
from cto.errors import CtoError

PREFIX = "cto-registry-"
ROLE_LABEL = "cto.dev/role"
REGISTRY = "registry"


def named_by(engine: Engine, node: str) -> tuple[str, ...]:
    """Return the registries that a running node asks, in this order."""
    return mirrors.registries(engine.execute(node, mirrors.reader()).stdout)


def sweep(engine: Engine, *, kept: str = "", gone: str = "") -> None:
    """Remove the registries that no node names, if that can be told of all clusters of ours.

    One that is removed while another installer is about to use it is made again by that.

    Args:
        engine: Docker.
        kept: One that stays.
        gone: A cluster whose nodes do not count.
    """
    found = [name for name in _found(engine) if name != kept]
    if not found:
        return
    nodes = [one for one in _nodes(engine) if one.labels[NODE_LABEL] != gone]
    if not _silent(engine, nodes):
        for name in _unnamed(engine, found, nodes):
            engine.remove(name)


def leftovers(engine: Engine) -> Sequence[str]:
    """Return a line about each registry that stays because some nodes cannot be asked."""
    if not (found := _found(engine)):
        return ()
    nodes = _nodes(engine)
    if not (silent := _silent(engine, nodes)):
        return ()
    hint = f"Start it, or remove it (`cto uninstall --cluster --cluster-name {silent[0]}`)"
    return [
        f"container {name}, and the image of nodes: the cluster {silent[0]} does not run, and its "
        f"nodes may need them. {hint}, then repeat this."
        for name in _unnamed(engine, found, nodes)
    ]


def look(engine: Engine) -> tuple[list[dict[str, str]], list[dict[str, str]], list[str]]:
    """Return how registries and nodes stand, to whoever looks for a fault.

    Returns:
        Containers of ours that serve bundles: name and state. Those that a node asks, and that do
        not run: node, registry and state. Nodes that cannot be asked, and why.
    """
    served = {one.name: one.state for one in engine.containers(**{ROLE_LABEL: REGISTRY})}
    gone: list[dict[str, str]] = []
    unasked: list[str] = []
    for node in _nodes(engine):
        if not node.running:
            unasked.append(f"{node.name} is {node.state}")
            continue
        try:
            names = _named(engine, node)
        except CtoError as error:
            unasked.append(f"{node.name}: {error.message}")
            continue
        for name in names:
            state = served.get(name, "not there")
            if name.startswith(PREFIX) and state != "running":
                gone.append({"node": node.name, "registry": name, "state": state})
    return [{"name": name, "state": state} for name, state in served.items()], gone, unasked


def _found(engine: Engine) -> Sequence[str]:
    return [one.name for one in engine.containers(**{ROLE_LABEL: REGISTRY})]


def _nodes(engine: Engine) -> Sequence[DockerContainer]:
    return engine.containers(**{NODE_LABEL: ""})


def _silent(engine: Engine, nodes: Sequence[DockerContainer]) -> Sequence[str]:
    """Return the clusters of ours whose nodes cannot all be asked.

    Those of others name no registry of ours. Markers are looked at after the nodes were listed: no
    node of ours is there without one.
    """
    ours = {one.labels.get(CLUSTER, "") for one in engine.containers(**{ROLE_LABEL: MARKER})}
    stopped = {node.labels[NODE_LABEL] for node in nodes if not node.running}
    return sorted(ours & stopped)


def _unnamed(
    engine: Engine, found: Sequence[str], nodes: Sequence[DockerContainer]
) -> Sequence[str]:
    """Return which of these registries no running node names.

    All nodes are asked, also those without a marker: Docker's `prune` takes markers away.
    """
    running = [node for node in nodes if node.running]
    named = {name for node in running for name in _named(engine, node)}
    return [name for name in found if name not in named]


def _named(engine: Engine, node: DockerContainer) -> Sequence[str]:
    try:
        return named_by(engine, node.name)
    except CtoError:
        # It went away meanwhile: then it needs nothing.
        if engine.container(node.id) is None:
            return ()
        raise
