"""Which cluster a command works on, and the provider that is made of containers."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cto.adapters.bundle_registry import BundleRegistry
from cto.adapters.container import Engine
from cto.adapters.docker import Docker, own_ids
from cto.adapters.docker_host import DockerHost
from cto.adapters.kind import Kind
from cto.adapters.kind_access import KindAccess, owner_of
from cto.adapters.kind_config import node_ports, without_proxy
from cto.adapters.kind_marker import Marker
from cto.adapters.kind_program import KindProgram
from cto.adapters.kwok import Kwok
from cto.adapters.upstream_images import UpstreamImages
from cto.bundle.platform import node_image
from cto.cli.bundled import served
from cto.errors import CtoError, UsageError
from cto.ports import ImageSupply, Provider, ProviderState

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring

KWOK = "kwok"
KIND = "kind"
EXISTING = "existing"
NAME = "cto"
_BOTH_LINES = (
    "Make a cluster: docker run --rm -v ~/.kube:/root/.kube "
    "-v /var/run/docker.sock:/var/run/docker.sock IMAGE install\n"
    "or use yours: docker run --rm -v ~/.kube:/root/.kube IMAGE install\n"
    "(without a container: start Docker, name a kubeconfig with --kubeconfig FILE, or try it with "
    "simulated nodes: --provider kwok)"
)


def docker(wiring: Wiring) -> Engine:
    """Return Docker, as the user's own docker program finds it."""

    def ids() -> tuple[str, ...]:
        try:
            mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            mounts = ""
        return own_ids(mounts, wiring.host.name)

    return Docker(wiring.runner, program(wiring), environ=wiring.env, own_ids=ids)


def program(wiring: Wiring) -> Callable[[], str]:
    """Return what finds docker: the given one, the user's own (it knows contexts), a pinned one."""

    def find() -> str:
        if wiring.tools.is_given("docker"):
            return str(wiring.tools.path("docker"))
        found = shutil.which("docker", path=wiring.env.get("PATH"))
        return found or str(wiring.tools.path("docker"))

    return find


def kwok(wiring: Wiring) -> Kwok:
    """Return the provider of simulated clusters."""
    return Kwok(
        runner=wiring.runner,
        tools=wiring.tools,
        clock=wiring.clock,
        host=wiring.host,
        connect=wiring.connect,
        manifests=wiring.simulation,
        folder=wiring.state / KWOK / NAME,
        shared=wiring.kubeconfigs()[0],
        environ=wiring.env,
    )


def kind(wiring: Wiring) -> Kind:
    """Return the provider of clusters in Docker."""
    engine, name = wiring.docker, wiring.cluster_name
    runner = KindProgram(
        wiring.runner,
        lambda: wiring.tools.path("kind"),
        program(wiring),
        cluster=name,
        environ=wiring.env,
        folder=wiring.state / KIND / name,
    )
    if wiring.env is os.environ:
        # In a container the API's address is a name that no proxy knows; helm has to know that too.
        os.environ.update(without_proxy(os.environ, [f"{name}-control-plane"]))
    return Kind(
        engine=engine,
        ground=DockerHost(engine, wiring.host),
        program=runner,
        supply=supply(wiring),
        access=_kind_access(wiring, runner.kubeconfig),
        marker=Marker(engine, wiring.host, name),
        clock=wiring.clock,
        connect=wiring.connect,
        options=wiring.node_options,
        ports=node_ports(_published(wiring)),
        kube_version=lambda: _kube_version(wiring),
        cluster=name,
    )


def _kind_access(wiring: Wiring, print_kubeconfig: Callable[[], str]) -> KindAccess:
    kubeconfig = wiring.kubeconfigs()[0]
    home = Path(wiring.env.get("HOME", "/"))
    # Verbs without a configuration make no cluster.
    configured = "loaded" in vars(wiring)
    return KindAccess(
        wiring.docker,
        print_kubeconfig,
        cluster=wiring.cluster_name,
        clock=wiring.clock,
        host=wiring.host,
        folder=wiring.state / KIND / wiring.cluster_name,
        shared=kubeconfig,
        usual=kubeconfig == home / ".kube" / "config",
        owner=owner_of(wiring.env),
        make_current=configured and wiring.loaded.config.cluster.use_context,
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
        air_gapped=lambda: wiring.air_gapped,
    )


def chosen(wiring: Wiring) -> Provider:
    """Return where the cluster of an installation comes from.

    What was named; else kind, where there is a Docker; else the kubeconfig's only context.

    Raises:
        UsageError: CTO-1201 (several contexts), CTO-1202 (nothing to choose from), CTO-1203.
    """
    wish = wiring.loaded.config.cluster
    provider = wish.provider.value if wish.provider else ""
    if not provider and not _names_existing(wiring, wish.context or ""):
        provider = KIND if has_docker(wiring.env, wiring.docker_socket) else ""
    return _named(wiring, provider, wish.context or "")


def there(wiring: Wiring) -> Provider:
    """Return the cluster that is there, for verbs that need no configuration.

    A Docker without a cluster of ours is no reason not to look into the kubeconfig.
    """
    flags = _flags(wiring)
    provider = flags.get("cluster.provider") or wiring.env.get("CTO_CLUSTER__PROVIDER", "")
    context = flags.get("cluster.context", "")
    if not provider and not _names_existing(wiring, context) and _is_made(wiring):
        provider = KIND
    return _named(wiring, provider, context)


def made(wiring: Wiring) -> Provider:
    """Return the provider whose cluster is to be deleted.

    Raises:
        UsageError: CTO-1206, there are two and none is named.
    """
    provider = _flags(wiring).get("cluster.provider") or wiring.env.get("CTO_CLUSTER__PROVIDER", "")
    if provider == EXISTING:
        raise UsageError("CTO-1200", "cto deletes no cluster that it did not make")
    if not provider:
        in_docker = _is_made(wiring)
        simulated = wiring.kwok.state() is not ProviderState.ABSENT
        if in_docker and simulated:
            raise UsageError("CTO-1206", "cto has made two clusters, and none is named")
        # Without a cluster there may be what a killed run made before one.
        docker = in_docker or has_docker(wiring.env, wiring.docker_socket)
        provider = KIND if docker and not simulated else KWOK
    return wiring.kind if provider == KIND else wiring.kwok


def has_docker(env: Mapping[str, str], socket: Path) -> bool:
    """Tell whether there is a Docker, or somebody says so. It may well not answer."""
    if env.get("DOCKER_HOST") or env.get("DOCKER_CONTEXT") or socket.exists():
        return True
    folder = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME", "/")) / ".docker")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # Docker Desktop and rootless Docker name their socket in a context.
    return isinstance(config, dict) and config.get("currentContext", "default") != "default"


def cluster_name(wiring: Wiring) -> str:
    """Return the name of the cluster that is made."""
    given = _flags(wiring).get("cluster.name") or wiring.env.get("CTO_CLUSTER__NAME")
    if given:
        return given
    # Verbs without a configuration must not need a right one.
    return wiring.loaded.config.cluster.name if wiring.options.files else NAME


def _named(wiring: Wiring, provider: str, context: str) -> Provider:
    match provider:
        case "kwok":
            return wiring.kwok
        case "kind":
            return wiring.kind
        case _:
            return _existing(wiring, context)


def _existing(wiring: Wiring, context: str) -> Provider:
    try:
        return wiring.take_existing(context)
    except UsageError as error:
        if error.code == "CTO-1202":
            error.hint = _BOTH_LINES
        raise


def _names_existing(wiring: Wiring, context: str) -> bool:
    """Whether a context or a kubeconfig was named, and so a cluster that is there."""
    named = (wiring.options.kubeconfig, wiring.env.get("CTO_KUBECONFIG"), context)
    return any(named) or bool(wiring.env.get("CTO_CONTEXT"))


def _is_made(wiring: Wiring) -> bool:
    """Whether there is a cluster of ours in Docker; no, where no Docker answers."""
    if not has_docker(wiring.env, wiring.docker_socket):
        return False
    try:
        return wiring.kind.state() is not ProviderState.ABSENT
    except CtoError:
        return False


def _flags(wiring: Wiring) -> Mapping[str, str]:
    return {path: value for path, (_, value) in wiring.options.flags.items()}


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
