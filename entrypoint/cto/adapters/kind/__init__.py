"""Clusters of kind in Docker: the provider, and where the images of their nodes come from."""

import os

from cto import storage
from cto.adapters.building import ProviderParts
from cto.adapters.docker import DockerHost, Engine, folder_of, proxies
from cto.adapters.kind.access import KindAccess, owner_of
from cto.adapters.kind.config import node_ports, without_proxy
from cto.adapters.kind.marker import Marker
from cto.adapters.kind.program import KindProgram
from cto.adapters.kind.provider import Kind
from cto.adapters.kind.registries import look as registries_of
from cto.adapters.kind.supply import Bundle, BundleRegistry, UpstreamImages

__all__ = ["Bundle", "BundleRegistry", "Kind", "UpstreamImages", "build", "registries_of"]


def build(parts: ProviderParts) -> Kind:
    """Return the provider of clusters in Docker."""
    docker = parts.docker()
    program = KindProgram(
        parts.runner,
        lambda: parts.tools.path("kind"),
        parts.docker_program,
        cluster=parts.name,
        environ=parts.env,
        folder=parts.state,
        injected=lambda: proxies(folder_of(parts.env), docker.daemon().endpoint),
    )
    if parts.env is os.environ:
        # In a container the API's address is a name that no proxy knows; helm has to know that too.
        os.environ.update(without_proxy(os.environ, [f"{parts.name}-control-plane"]))
    return Kind(
        engine=docker,
        docker_host=DockerHost(docker, parts.host),
        program=program,
        supply=parts.images(),
        access=_access(parts, docker, program),
        marker=Marker(docker, parts.host, parts.name),
        clock=parts.clock,
        connect=parts.connect,
        options=parts.nodes,
        ports=node_ports(parts.published()),
        kube_version=parts.kube_version,
        cluster=parts.name,
    )


def _access(parts: ProviderParts, docker: Engine, program: KindProgram) -> KindAccess:
    kubeconfig, *beside = parts.kubeconfigs
    return KindAccess(
        docker,
        program.kubeconfig,
        cluster=parts.name,
        clock=parts.clock,
        host=parts.host,
        folder=parts.state,
        shared=kubeconfig,
        beside=beside,
        usual=kubeconfig == storage.home(parts.env) / ".kube" / "config",
        spare=parts.spare,
        owner=owner_of(parts.env),
        make_current=parts.use_context,
    )
