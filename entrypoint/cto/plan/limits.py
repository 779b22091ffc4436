"""What cannot be had: settings that contradict each other, and what a cluster could not take.

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
from cto.config.sections import IngressType
from cto.errors import ConfigError
from cto.plan.observed import Observed
from cto.plan.selection import Selection
from cto.ports import INGRESS_NODE_PORT, Chart

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


def refuse_contradictions(
    config: Config,
    selection: Selection,
    charts: Mapping[str, Chart],
    ports: Mapping[int, int],
) -> None:
    """Refuse what the configuration cannot have here.

    Raises:
        ConfigError: CTO-1320.
    """
    _check_versions(config, charts)
    _check_databases(config, selection)
    _check_access(config, ports)
    _check_tunnel(config)


def _check_versions(config: Config, charts: Mapping[str, Chart]) -> None:
    for name, settings in config.components.items():
        if settings.version and name in charts and charts[name].version != settings.version:
            message = (
                f"components.{name}.version is {settings.version}, "
                f"the chart that was found is {charts[name].version}"
            )
            hint = "Give a folder with that version (--charts DIR), or leave the line out."
            raise ConfigError("CTO-1320", message, hint=hint)


def _check_databases(config: Config, selection: Selection) -> None:
    """Refuse databases where `platform.network_policies` keeps their pods from each other."""
    closed = {component.namespace for component in selection.managed}
    for kind, given in config.databases:
        for database in given:
            if database.namespace in closed:
                where = f"databases.{kind}: {database.name}: namespace {database.namespace}"
                message = f"{where} is the platform's, and for its own programs only"
                hint = "Name one of yours, or leave the line out: it is in databases then."
                raise ConfigError("CTO-1320", message, hint=hint)


def _check_access(config: Config, ports: Mapping[int, int]) -> None:
    """Refuse log-in by GitHub where dex has no address that browsers and pods reach alike."""
    if not config.platform.access.github_org:
        return
    message = "platform.access.github_org: dex needs one address, for browsers and for pods"
    if config.platform.ingress_type is not IngressType.INGRESS:
        message += f"; platform.ingress_type is {config.platform.ingress_type.value}"
        hint = "Set platform.ingress_type: ingress and platform.domain, or leave access out."
        raise ConfigError("CTO-1320", message, hint=hint)
    if port := ports.get(INGRESS_NODE_PORT):
        message += f"; the ingress of this kind cluster is at localhost:{port}"
        hint = "Leave platform.access out here, or install to a cluster with a load balancer."
        raise ConfigError("CTO-1320", message, hint=hint)


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


def _check_tunnel(config: Config) -> None:
    if config.air_gapped and config.tunneling.is_tunnel:
        provider = config.tunneling.provider.value
        message = f"tunneling.provider {provider} opens a connection to the internet"
        hint = "Leave it out, or air_gapped: that says that there is none."
        raise ConfigError("CTO-1320", message, hint=hint)
