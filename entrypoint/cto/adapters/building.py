"""What providers are built from; each takes what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cto.adapters.docker import Engine
from cto.adapters.host import Host
from cto.adapters.kubernetes import Pod
from cto.adapters.tools import Tools
from cto.objects import Manifest
from cto.ports import Access, Clock, Cluster, ImageSupply, NodeOptions, Provider, Runner


@dataclass(frozen=True, kw_only=True)
class ProviderParts:
    """What a provider may be built from.

    Attributes:
        name: Of the cluster that is made.
        context: Of the kubeconfig, as it was named; '' if none was.
        use_context: Whether kubectl shall use the cluster that is made.
        env: The environment of the process.
        kubeconfigs: The files to read, the one to write first.
        kubeconfig_is_named: Whether somebody named the file, and so a cluster that is there.
        pod: The one that we may run in.
        state: The folder in which the cluster's files are kept.
        spare: A folder that is gone after this run.
        connect: Opens the API.
        nodes: What nodes shall be like.
        manifests: What a new cluster gets, besides the platform.
        published: Port of every node -> port of localhost.
        docker: The Docker to use.
        docker_program: What finds its command line.
        images: Where images of nodes in Docker come from.
        kube_version: Of nodes in Docker.
    """

    name: str
    context: str
    use_context: bool
    env: Mapping[str, str]
    kubeconfigs: Sequence[Path]
    kubeconfig_is_named: bool
    pod: Pod
    host: Host
    clock: Clock
    runner: Runner
    tools: Tools
    state: Path
    spare: Callable[[], Path]
    connect: Callable[[Access], Cluster]
    nodes: Callable[[], NodeOptions]
    manifests: Callable[[], Sequence[Manifest]]
    published: Callable[[], Mapping[int, int]]
    docker: Callable[[], Engine]
    docker_program: Callable[[], str]
    images: Callable[[], ImageSupply]
    kube_version: Callable[[], str]


class ProviderModule(Protocol):
    """What `cto.adapters.NAME` has, for every NAME in `cto.providers`."""

    def build(self, parts: ProviderParts) -> Provider:
        """Return the provider; nothing is asked or made yet."""
        ...
