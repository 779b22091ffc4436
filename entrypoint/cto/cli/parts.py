"""What providers are built from, as far as settings and open adapters say it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cto.adapters.building import ProviderParts
from cto.adapters.docker import Engine
from cto.adapters.host import Host
from cto.adapters.kubernetes import Pod
from cto.adapters.tools import Tools
from cto.catalog import Catalog
from cto.cli import containers
from cto.cli.settings import CommandSettings
from cto.config.load import Loaded
from cto.objects import Manifest, load_documents
from cto.ports import Access, Clock, Cluster, NodeOptions, Runner
from cto.providers import DEFAULT_NAME, PROVIDERS


def provider_parts(
    provider: str,
    settings: CommandSettings,
    *,
    catalog: Callable[[], Catalog],
    host: Host,
    clock: Clock,
    runner: Runner,
    tools: Tools,
    docker: Callable[[], Engine],
    spare: Callable[[], Path],
    connect: Callable[[Access], Cluster],
    nodes: Callable[[], NodeOptions],
) -> ProviderParts:
    """Return what a provider may be built from."""
    cluster = settings.cluster
    named = any(kind.name == provider and kind.named for kind in PROVIDERS)
    return ProviderParts(
        name=cluster.name,
        context=cluster.context or "",
        use_context=cluster.use_context,
        env=settings.env,
        kubeconfigs=settings.kubeconfigs(),
        kubeconfig_is_named=bool(settings.named_kubeconfig),
        pod=Pod(settings.env, settings.service_account),
        host=host,
        clock=clock,
        runner=runner,
        tools=tools,
        state=settings.state / provider / (cluster.name if named else DEFAULT_NAME),
        spare=spare,
        connect=connect,
        nodes=nodes,
        manifests=partial(manifests, settings.root / "templates" / provider, settings.env),
        published=lambda: containers.published(catalog().components),
        docker=docker,
        docker_program=containers.program(tools, settings.env),
        images=lambda: containers.supply(settings, docker(), clock),
        kube_version=partial(containers.kube_version, settings),
    )


def node_options(loaded: Loaded) -> NodeOptions:
    """Return what nodes shall be like."""
    config, profile = loaded.config, loaded.profile
    return NodeOptions(
        nodes=config.cluster.nodes,
        profile=profile.name,
        cpu=profile.cpu,
        memory_gib=profile.memory_gb,
        disk_gib=profile.disk_gb,
    )


def manifests(folder: Path, env: Mapping[str, str]) -> Sequence[Manifest]:
    """Return what a new cluster gets besides the platform."""
    from cto.render import Renderer  # noqa: PLC0415 - jinja2 is slow to import

    seconds = int(env.get("CTO_KWOK_POD_READY_SECONDS", "0") or 0)
    renderer = Renderer({"pod_ready_seconds": seconds}, env={})
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yaml.j2")])
    return [item for file in files for item in load_documents(renderer.text(file))]
