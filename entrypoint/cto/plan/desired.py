"""The desired state: everything rendered, and the digests that tell whether it is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cto import __version__, digests
from cto.catalog import Category, Component, Crds, PodRequests
from cto.config.fields import seconds_of
from cto.config.model import Config
from cto.config.sections import (
    Ingress,
    IngressType,
    RegistryType,
)
from cto.events import Phase
from cto.objects import Manifest
from cto.plan import labels
from cto.plan.limits import nodes_warnings, refuse_contradictions, refuse_oversized
from cto.plan.network import class_of, host_of, is_own, policies, ways
from cto.plan.observed import Observed
from cto.plan.pulling import SECRET, PullLogin
from cto.plan.selection import Selection, completed, settings_of
from cto.ports import INGRESS_NODE_PORT, Chart
from cto.relocation import Relocation

# Raised when the same inputs must lead to another release than before, e.g. by a new Helm flag.
_RELEASE_FORMAT = 1

# A hook that pulls an image over a slow line, and a workload that does: what the peers' users
# report as still normal (zarf waits 15 minutes for a whole package, idpbuilder 5).
# Where no configuration says how long a step may take.
STEP_TIMEOUT_S = 600.0
_CORE = (Category.CORE, Category.ORCHESTRATION)
_LOGIN = "registry.password"


@dataclass(frozen=True, kw_only=True)
class DesiredComponent:
    """A component with everything rendered.

    Attributes:
        supplied: For each supplied Secret that gets at least one value: name -> (type, keys).
        marked: For those of them that each entry of a mapping has: name -> (labels, what is no
            secret in it).
        relocation: Where its images come from, if not from upstream.
        asked: What its pods ask for, container by container.
        certified: The host for which the platform's own authority signs; '' for none.
        agents: Those that are switched on.
    """

    component: Component
    chart: Chart
    values: Mapping[str, Any]
    before: tuple[Manifest, ...] = ()
    after: tuple[Manifest, ...] = ()
    supplied: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    marked: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]] = field(default_factory=dict)
    relocation: Relocation | None = None
    asked: tuple[PodRequests, ...] = ()
    certified: str = ""
    agents: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where the platform goes, as far as what is rendered depends on it.

    Attributes:
        provider: Name of the cluster's provider.
        base: The built-in profile that the configuration's profile is made from.
        env: What templates may ask of the environment.
        creates: Whether the provider makes the cluster.
        resizes: Whether nodes can be added to the cluster.
        relocations: Where the images of components come from, if not from upstream.
        ports: Port of every node -> port of localhost, as far as the provider knows.
    """

    provider: str
    base: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    creates: bool = False
    resizes: bool = True
    relocations: Mapping[str, Relocation] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """The platform as it should be.

    Attributes:
        ports: Port of every node -> port of localhost, as far as anybody knows.
        authority: The domain below which an authority of the platform's own signs; '' for none.
        login: What nodes log in with where images come from; None if they need not.
    """

    provider: str
    profile: str
    components: tuple[DesiredComponent, ...]
    external: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    creates_cluster: bool = False
    ports: Mapping[int, int] = field(default_factory=dict)
    authority: str = ""
    login: PullLogin | None = None
    step_timeout_s: float = STEP_TIMEOUT_S
    warnings: tuple[str, ...] = ()


def release_digest(item: DesiredComponent, kube_version: str) -> str:
    """Return the digest that a release's record carries as its label.

    It covers whatever changes what Helm would apply: charts look at the Kubernetes version too.
    """
    parts = {
        "format": _RELEASE_FORMAT,
        "chart": item.chart.digest,
        "values": item.values,
        "kubernetes": _minor(kube_version),
    }
    if item.relocation:
        parts["relocation"] = item.relocation.to_json()
    return _digest(parts)


def release_labels(item: DesiredComponent, kube_version: str) -> dict[str, str]:
    """Return what a release's record says of itself besides its digest: what that is made of."""
    chart = item.chart
    found = {
        labels.MANAGED: "true",
        labels.COMPONENT: item.component.name,
        labels.CHART: labels.value_of(f"{chart.name}-{chart.version}"),
        labels.APP_VERSION: labels.value_of(chart.app_version),
        labels.CHART_DIGEST: digests.for_label(chart.digest),
        labels.VALUES_DIGEST: _digest(item.values),
        labels.IMAGES_DIGEST: _digest(item.relocation.to_json()) if item.relocation else "upstream",
        labels.KUBERNETES: labels.value_of(_minor(kube_version)),
    }
    return {key: value for key, value in found.items() if value}


def _minor(kube_version: str) -> str:
    return ".".join(kube_version.split(".")[:2])


def _digest(data: Any) -> str:
    return digests.for_label(digests.of_data(data))


def crds_digest(chart: Chart, crds: Crds) -> str:
    data = {"format": _RELEASE_FORMAT, "chart": chart.digest, "on": crds.on, "source": crds.source}
    return digests.for_label(digests.of_data(data))


def phase_of(component: Component) -> Phase:
    return Phase.CORE if component.category in _CORE else Phase.OPTIONAL


def desired_state(
    config: Config,
    selection: Selection,
    charts: Mapping[str, Chart],
    observed: Observed,
    destination: Destination,
) -> DesiredState:
    """Render every managed component, in the sizes of the built-in profile of the destination.

    Raises:
        ConfigError: CTO-1311 (a template), CTO-1320 (settings that contradict each other), CTO-1355
            (values that no cluster could keep).
    """
    config = completed(config, selection)
    refuse_contradictions(config, selection, charts, destination.ports)
    resizes = destination.resizes
    nodes = nodes_warnings(config, observed, resizes=resizes) if destination.creates else ()
    made = _Components(config, selection, observed, destination)
    return DesiredState(
        provider=destination.provider,
        profile=config.profile,
        components=made.all(charts),
        external=tuple(c.name for c in selection.external),
        disabled=tuple(c.name for c in selection.disabled),
        creates_cluster=destination.creates,
        ports=destination.ports,
        authority=(config.platform.domain or "") if made.own else "",
        login=_login(config),
        step_timeout_s=seconds_of(config.cluster.step_timeout),
        warnings=(*nodes, *_without_effect(config), *_of_backups(config)),
    )


class _Components:
    """Makes the desired state of single components.

    Attributes:
        own: Whether the platform's authority signs for their hosts.
    """

    def __init__(
        self, config: Config, selection: Selection, observed: Observed, destination: Destination
    ) -> None:
        from cto.render import Renderer  # noqa: PLC0415 - jinja2 is slow to import, status needs none

        self._config = config
        self._selection = selection
        self._relocations = destination.relocations
        self._class_name = class_of(config, (*selection.managed, *selection.external), observed)
        context = _context(config, selection, observed, destination)
        self._renderer = Renderer(context, env=destination.env)
        self._public = context["config"]
        self.own = is_own(self._public)

    def all(self, charts: Mapping[str, Chart]) -> tuple[DesiredComponent, ...]:
        """Return those that are managed, with everything rendered."""
        values = {
            one.name: self._renderer.values(one, settings_of(self._config, one.name).values)
            for one in self._selection.managed
        }
        refuse_oversized(values, self._public)
        return tuple(
            self._component(one, charts[one.name], values[one.name])
            for one in self._selection.managed
        )

    def _component(
        self, component: Component, chart: Chart, values: Mapping[str, Any]
    ) -> DesiredComponent:
        before, after = component.manifests.before, component.manifests.after
        ingresses = ways(component, self._config, self._class_name)
        return DesiredComponent(
            component=component,
            chart=chart,
            values=values,
            before=(*self._policies(component), *self._manifests(component, before)),
            after=(*self._manifests(component, after), *ingresses),
            certified=host_of(component, self._config) if self.own else "",
            supplied=_supplied(component, self._config, self._selection.managed),
            marked=_marked(component, self._config),
            relocation=self._relocations.get(component.name),
            asked=tuple(self._renderer.asked(component).values()),
            agents=tuple(sorted(n for n, a in self._config.agents.items() if a.enabled)),
        )

    def _policies(self, component: Component) -> tuple[Manifest, ...]:
        platform, there = self._config.platform, self._selection
        if not platform.network_policies:
            return ()
        networks = platform.agent_networks
        return policies(component, there.managed, there.external, self._renderer, networks)

    def _manifests(self, component: Component, names: Sequence[str]) -> tuple[Manifest, ...]:
        made = self._renderer.manifests(component, names)
        relocation = self._relocations.get(component.name)
        return relocation.manifests(made) if relocation and made else made


def _without_effect(config: Config) -> Iterator[str]:
    """Yield what the configuration asks for and this version does not do."""
    tunneling = config.tunneling
    if (tunneling.is_tunnel or tunneling.forward) and not config.github.organization:
        field = "forward" if tunneling.forward else f"provider {tunneling.provider.value}"
        yield f"tunneling.{field} has no effect yet: github.organization is not set"
    if tunneling.credentials and not tunneling.is_tunnel:
        provider = tunneling.provider.value
        yield f"tunneling.credentials has no effect: tunneling.provider is {provider}"
    if config.platform.ingress_type is not IngressType.INGRESS and config.ingress != Ingress():
        kind = config.platform.ingress_type.value
        yield f"ingress has no effect: platform.ingress_type is {kind}"


def _of_backups(config: Config) -> Iterator[str]:
    if not config.features.backup:
        return
    if not config.object_store.bucket:
        yield (
            "features.backup makes no backups yet: there is no place for them. object_store names "
            "one outside, features.object_store: true adds one to the cluster"
        )
    elif config.features.object_store:
        yield (
            "backups stay in this cluster (features.object_store): they help against mistakes, and "
            "are lost with it. object_store names a place outside"
        )


def _login(config: Config) -> PullLogin | None:
    registry = config.registry
    if registry.type is RegistryType.LOCAL or not registry.username:
        return None
    return PullLogin(host=registry.host, username=registry.username, secret_path=_LOGIN)


def _context(
    config: Config, selection: Selection, observed: Observed, destination: Destination
) -> dict[str, Any]:
    return {
        "config": config.public(),
        "profile": destination.base,
        "version": __version__,
        "features": config.features.model_dump(),
        "components": [c.name for c in (*selection.managed, *selection.external)],
        "namespaces": sorted({c.namespace for c in selection.managed}),
        "ingress_namespaces": sorted(
            {c.namespace for c in selection.managed if c.access and c.access.subdomain}
        ),
        "app_slugs": _app_slugs(observed),
        "cluster": {
            "nodes": observed.nodes,
            "simulated": observed.simulated,
            "kube_version": observed.kube_version,
            "provider": destination.provider,
            **addresses(selection.managed, destination.ports),
        },
        "pull_secret": SECRET if _login(config) else "",
    }


def _app_slugs(observed: Observed) -> dict[str, str]:
    """Return agent -> what its App is called at GitHub, as far as that is known."""
    apps = observed.state.apps if observed.state else {}
    return {agent: str(known["slug"]) for agent, known in apps.items() if "slug" in known}


def addresses(components: Sequence[Component], ports: Mapping[int, int]) -> dict[str, Any]:
    """Return what browsers on the cluster's machine have to be told.

    `localhost` has host and port of each component that has a place there: where nobody knows of
    published ports (a cluster of the user's, that is reached by a port-forward), the usual one.
    `https_port` follows the name of a host below the platform's domain; `https_node_port` is the
    nodes' port that it leads to, if it does.
    """
    accesses = {c.name: c.access for c in components if c.access and c.access.host_port}
    found = {
        name: ports.get(access.node_port or 0, access.host_port or 80)
        for name, access in accesses.items()
    }
    return {
        "localhost": {name: f"localhost{port_suffix(port, 80)}" for name, port in found.items()},
        "https_node_port": INGRESS_NODE_PORT if INGRESS_NODE_PORT in ports else 0,
        "https_port": port_suffix(ports.get(INGRESS_NODE_PORT, 443), 443),
    }


def port_suffix(port: int, usual: int) -> str:
    """Return what follows the host in an address, '' for the scheme's usual port."""
    return "" if port == usual else f":{port}"


def _supplied(
    component: Component, config: Config, managed: Sequence[Component]
) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return the supplied Secrets that get at least one value, and those of entries."""
    found: dict[str, tuple[str, Mapping[str, str]]] = {}
    for secret in component.supplied:
        for owner in (one for one in managed if one.name == secret.of):
            place = f"{labels.GENERATED}{owner.namespace}/"
            found[secret.name] = (secret.type, {k: place + v for k, v in secret.keys.items()})
    found |= {
        secret.name: (secret.type, secret.keys)
        for secret in component.supplied
        if not (secret.each or secret.of)
        and any(_is_given(config, path) for path in secret.keys.values())
    }
    for secret in component.supplied:
        for name in config.repositories if secret.each else ():
            paths = {key: f"{secret.each}.{name}.{path}" for key, path in secret.keys.items()}
            given = {key: path for key, path in paths.items() if _is_given(config, path)}
            found[f"{secret.name}-{name}"] = (secret.type, given)
    return found


def _marked(
    component: Component, config: Config
) -> dict[str, tuple[Mapping[str, str], Mapping[str, str]]]:
    found: dict[str, tuple[Mapping[str, str], Mapping[str, str]]] = {
        one.name: (one.labels, {}) for one in component.supplied if one.labels
    }
    return found | {
        f"{secret.name}-{name}": ({labels.EACH: secret.each, **entry.labels}, entry.data)
        for secret in component.supplied
        if secret.each
        for name, entry in config.repositories.items()
    }


def _is_given(config: Config, path: str) -> bool:
    return bool(config.secret_values(path) or config.secret_reference(path))
