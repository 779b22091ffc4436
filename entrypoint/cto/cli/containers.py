"""Clusters in Docker: the engine, the provider kind, and where their images come from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cto import storage
from cto.adapters.docker import (
    Docker,
    DockerHost,
    Engine,
    KnownContainers,
    folder_of,
    own_ids,
    proxies,
)
from cto.adapters.kind import (
    Bundle,
    BundleRegistry,
    Kind,
    KindAccess,
    KindProgram,
    Marker,
    UpstreamImages,
    node_ports,
    owner_of,
    without_proxy,
)
from cto.bundle.collect import node_image
from cto.cli.bundled import KIND
from cto.holder import Containers, NoContainers
from cto.ports import ImageSupply

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring
    from cto_airgap.bundle import BundleSource


def engine(wiring: Wiring) -> Engine:
    """Return Docker, as the user's own docker program finds it."""

    def ids() -> tuple[str, ...]:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            mounts = ""
        return own_ids(mounts, wiring.host.name)

    return Docker(wiring.runner, program(wiring), environ=wiring.env, own_ids=ids)


def known(wiring: Wiring) -> Containers:
    """Return what Docker tells of containers; without its program nothing is fetched for it."""
    return KnownContainers(wiring.docker) if _found(wiring) else NoContainers()


def program(wiring: Wiring) -> Callable[[], str]:
    """Return what finds docker: the given one, the user's own (it knows contexts), a pinned one."""
    return lambda: _found(wiring) or str(wiring.tools.path("docker"))


def _found(wiring: Wiring) -> str:
    if wiring.tools.is_given("docker"):
        return str(wiring.tools.path("docker"))
    return shutil.which("docker", path=wiring.env.get("PATH")) or ""


def kind(wiring: Wiring) -> Kind:
    """Return the provider of clusters in Docker."""
    docker, name = wiring.docker, wiring.wish.name
    runner = KindProgram(
        wiring.runner,
        lambda: wiring.tools.path("kind"),
        program(wiring),
        cluster=name,
        environ=wiring.env,
        folder=wiring.state / KIND / name,
        injected=lambda: proxies(folder_of(wiring.env), docker.daemon().endpoint),
    )
    if wiring.env is os.environ:
        # In a container the API's address is a name that no proxy knows; helm has to know that too.
        os.environ.update(without_proxy(os.environ, [f"{name}-control-plane"]))
    return Kind(
        engine=docker,
        ground=DockerHost(docker, wiring.host),
        program=runner,
        supply=supply(wiring),
        access=_kind_access(wiring, runner.kubeconfig),
        marker=Marker(docker, wiring.host, name),
        clock=wiring.clock,
        connect=wiring.connect,
        options=wiring.node_options,
        ports=node_ports(_published(wiring)),
        kube_version=lambda: _kube_version(wiring),
        cluster=name,
    )


def _kind_access(wiring: Wiring, print_kubeconfig: Callable[[], str]) -> KindAccess:
    kubeconfig, *beside = wiring.kubeconfigs()
    return KindAccess(
        wiring.docker,
        print_kubeconfig,
        cluster=wiring.wish.name,
        clock=wiring.clock,
        host=wiring.host,
        folder=wiring.state / KIND / wiring.wish.name,
        shared=kubeconfig,
        beside=beside,
        usual=kubeconfig == storage.home(wiring.env) / ".kube" / "config",
        spare=lambda: wiring.spare,
        owner=owner_of(wiring.env),
        make_current=wiring.wish.use_context,
    )


def supply(wiring: Wiring) -> ImageSupply:
    """Return where the cluster's images come from: the bundle, if there is one with images."""
    source, own = wiring.source, wiring.env.get("CTO_NODE_IMAGE", "")
    if source is None or not source.has_images:
        return UpstreamImages(wiring.docker, _node_image(wiring))
    return BundleRegistry(
        wiring.docker,
        wiring.clock,
        served(source, node_image(wiring.root / "bundle").image),
        image=wiring.env.get("CTO_IMAGE", ""),
        node_image=own,
        check_bundle=source.check,
        air_gapped=lambda: wiring.air_gapped,
    )


def _published(wiring: Wiring) -> dict[int, int]:
    """Return the node ports of all components -> ports of the host: fixed for every profile."""
    accesses = [component.access for component in wiring.catalog.components if component.access]
    return {a.node_port: a.host_port for a in accesses if a.node_port and a.host_port}


def _node_image(wiring: Wiring) -> str:
    own = wiring.env.get("CTO_NODE_IMAGE", "")
    return own or node_image(wiring.root / "bundle").pinned


def _kube_version(wiring: Wiring) -> str:
    """Return the version in the node image's tag; the pinned image's where there is none."""
    tag = _node_image(wiring).partition("@")[0].rpartition(":")[2]
    usual = node_image(wiring.root / "bundle").kube_version
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
