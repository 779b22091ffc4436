"""How many nodes a cluster of ours has, against how many are wanted."""

from __future__ import annotations

from cto.config.model import Config
from cto.errors import ConfigError
from cto.plan.observed import Observed

_ANEW = "cto uninstall --provider kind --cluster, then cto install --nodes {nodes}"


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
