"""Docker, as the user's own program finds it, and where images of its clusters come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cto.adapters.docker import Docker, Engine, KnownContainers, own_ids
from cto.adapters.host import Host
from cto.adapters.kind import Bundle, BundleRegistry, UpstreamImages
from cto.adapters.tools import Tools
from cto.bundle.collect import node_image
from cto.catalog import Component
from cto.cli.settings import CommandSettings
from cto.holder import Containers, NoContainers
from cto.ports import Clock, ImageSupply, Runner

if TYPE_CHECKING:
    from cto_airgap.bundle import BundleSource


def engine(runner: Runner, tools: Tools, env: Mapping[str, str], host: Host) -> Engine:
    """Return Docker, as the user's own docker program finds it."""

    def ids() -> tuple[str, ...]:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            mounts = ""
        return own_ids(mounts, host.name)

    return Docker(runner, program(tools, env), environ=env, own_ids=ids)


def known(docker: Callable[[], Engine], tools: Tools, env: Mapping[str, str]) -> Containers:
    """Return what Docker tells of containers; without its program nothing is fetched for it."""
    return KnownContainers(docker()) if found(tools, env) else NoContainers()


def program(tools: Tools, env: Mapping[str, str]) -> Callable[[], str]:
    """Return what finds docker: the given one, the user's own (it knows contexts), a pinned one."""
    return lambda: found(tools, env) or str(tools.path("docker"))


def found(tools: Tools, env: Mapping[str, str]) -> str:
    """Return the docker program that is here; '' if it would have to be fetched."""
    if tools.is_given("docker"):
        return str(tools.path("docker"))
    return shutil.which("docker", path=env.get("PATH")) or ""


def at_hand(settings: CommandSettings, tools: Tools, docker: Callable[[], Engine]) -> Engine | None:
    """Return Docker, where there is a sign of one and a program to ask it by."""
    return docker() if settings.has_docker and found(tools, settings.env) else None


def supply(settings: CommandSettings, docker: Engine, clock: Clock) -> ImageSupply:
    """Return where the cluster's images come from: the bundle, if there is one with images."""
    source, own = settings.images, settings.env.get("CTO_NODE_IMAGE", "")
    if source is None:
        return UpstreamImages(docker, _node_image(settings))
    return BundleRegistry(
        docker,
        clock,
        served(source, node_image(settings.bundle).image),
        image=settings.env.get("CTO_IMAGE", ""),
        node_image=own,
        check_bundle=source.check,
        air_gapped=lambda: settings.air_gapped,
    )


def published(components: Iterable[Component]) -> dict[int, int]:
    """Return the node ports of all components -> ports of the host: fixed for every profile."""
    accesses = [component.access for component in components if component.access]
    return {a.node_port: a.host_port for a in accesses if a.node_port and a.host_port}


def _node_image(settings: CommandSettings) -> str:
    return settings.env.get("CTO_NODE_IMAGE", "") or node_image(settings.bundle).pinned


def kube_version(settings: CommandSettings) -> str:
    """Return the version in the node image's tag; the pinned image's where there is none."""
    tag = _node_image(settings).partition("@")[0].rpartition(":")[2]
    usual = node_image(settings.bundle).kube_version
    return tag if tag.startswith("v") and tag[1:2].isdecimal() else usual


def served(source: BundleSource, node: str) -> Bundle:
    """Return what has to be known of a bundle to serve it.

    Args:
        source: The bundle.
        node: Upstream's name of the node image.
    """
    held = source.image(node)
    return Bundle(
        digest=source.digest,
        hosts=source.hosts,
        node=node if held else "",
        node_digest=held.descriptor.digest if held else "",
        architecture=source.platform.architecture,
    )
