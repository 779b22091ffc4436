"""Turns configuration and catalog into the platform as it should be, with everything rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cto import __version__
from cto.catalog import Catalog, Component
from cto.config.fields import seconds_of
from cto.config.model import Config
from cto.config.sections import (
    ComponentSettings,
    Ingress,
    IngressType,
    Mode,
    RegistryType,
    TunnelProvider,
)
from cto.errors import ConfigError
from cto.objects import Manifest
from cto.plan import labels
from cto.plan.ingress import brings_class, class_of, host_of, is_own, ways
from cto.plan.nodes import nodes_warnings
from cto.plan.observed import Observed
from cto.plan.openings import policies
from cto.plan.pulling import SECRET, Login
from cto.plan.sizes import refuse_oversized
from cto.plan.wish import Wanted, WantedComponent
from cto.ports import INGRESS_NODE_PORT, Chart
from cto.relocation import Relocation

_LOGIN = "registry.password"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which components the configuration asks for."""

    managed: tuple[Component, ...]
    external: tuple[Component, ...]
    disabled: tuple[Component, ...]

    def on(self, config: Config, observed: Observed) -> Selection:
        """Leave out what a cluster turns out to have already.

        Raises:
            ConfigError: CTO-1320, something else needs what is left out.
        """
        asked = (*self.managed, *self.external, *self.disabled)
        left = {c.name for c in asked if not _is_asked(c, config, observed)}
        return self if not left else _selected([c for c in asked if c.name not in left], config)


def select(catalog: Catalog, config: Config) -> Selection:
    """Return the components that are required, belong to a feature that is on, or bring a class.

    What the cluster may turn out to have already is among them, until `on` leaves it out.

    Raises:
        ConfigError: CTO-1320, a component is disabled that another one needs.
    """
    return _selected([c for c in catalog.components if _is_asked(c, config, None)], config)


def _is_asked(component: Component, config: Config, observed: Observed | None) -> bool:
    is_on = bool(getattr(config.features, component.feature or "", False))
    always = component.required or (component.own and not component.feature)
    return always or is_on or brings_class(component, config, observed)


def _selected(asked: Sequence[Component], config: Config) -> Selection:
    mode = {c.name: _settings(config, c.name).mode for c in asked}
    for component in asked:
        missing = [d for d in component.depends_on if mode.get(d) in {None, Mode.DISABLED}]
        if mode[component.name] is Mode.MANAGED and missing:
            message = f"{component.name} needs {', '.join(missing)}, which is not to be installed"
            hint = f"Enable {missing[0]}, or set components.{component.name}.mode: disabled."
            raise ConfigError("CTO-1320", message, hint=hint)
    return Selection(
        managed=tuple(c for c in asked if mode[c.name] is Mode.MANAGED),
        external=tuple(c for c in asked if mode[c.name] is Mode.EXTERNAL),
        disabled=tuple(c for c in asked if mode[c.name] is Mode.DISABLED),
    )


def completed(config: Config, selection: Selection) -> Config:
    """Return the configuration with the sections that components stand for.

    Raises:
        ConfigError: CTO-1320, the user has given such a section as well.
    """
    sections = {}
    for component in selection.managed:
        for name, given in component.provides.items():
            mine = getattr(config, name)
            if mine != type(mine)():
                message = f"{name} is given, and features.{component.feature} adds another one"
                hint = f"Leave out {name}, or set features.{component.feature}: false."
                raise ConfigError("CTO-1320", message, hint=hint)
            own = {"namespace": component.namespace}
            filled = {k: {**v, **own} if isinstance(v, Mapping) else v for k, v in given.items()}
            sections[name] = type(mine).model_validate(filled)
    return config.model_copy(update=sections)


def wanted(
    config: Config,
    selection: Selection,
    charts: Mapping[str, Chart],
    observed: Observed,
    *,
    provider: str,
    creates_cluster: bool,
    base: str,
    env: Mapping[str, str],
    relocations: Mapping[str, Relocation] = MappingProxyType({}),
    resizes: bool = True,
    ports: Mapping[int, int] = MappingProxyType({}),
) -> Wanted:
    """Render every managed component, in the sizes of the built-in profile `base`.

    `relocations` says where the images of a component come from, if not from upstream; `ports`
    which port of localhost leads to which port of every node, if any does.

    Raises:
        ConfigError: CTO-1311 (a template), CTO-1320 (wishes that contradict each other), CTO-1355
            (values that no cluster could keep).
    """
    from cto.render import Renderer  # noqa: PLC0415 - jinja2 is slow to import, status needs none

    config = completed(config, selection)
    _check(config, charts)
    _check_databases(config, selection)
    nodes = nodes_warnings(config, observed, resizes=resizes) if creates_cluster else ()
    login = _login(config)
    context = _context(config, selection, observed, base)
    context["cluster"] |= {"provider": provider, **addresses(selection.managed, ports)}
    renderer = Renderer({**context, "pull_secret": SECRET if login else ""}, env=env)

    own = is_own(context["config"])
    class_name = class_of(config, (*selection.managed, *selection.external), observed)

    def closed(component: Component) -> tuple[Manifest, ...]:
        on = config.platform.network_policies
        networks = config.platform.agent_networks
        there = (selection.managed, selection.external)
        return policies(component, *there, renderer, networks) if on else ()

    def moved(component: Component, names: Sequence[str]) -> tuple[Manifest, ...]:
        made = renderer.manifests(component, names)
        relocation = relocations.get(component.name)
        return relocation.manifests(made) if relocation and made else made

    values = {
        component.name: renderer.values(component, _settings(config, component.name).values)
        for component in selection.managed
    }
    refuse_oversized(values, context["config"])
    return Wanted(
        provider=provider,
        profile=config.profile,
        components=tuple(
            WantedComponent(
                component=component,
                chart=charts[component.name],
                values=values[component.name],
                before=(
                    *closed(component),
                    *moved(component, component.manifests.before),
                ),
                after=(
                    *moved(component, component.manifests.after),
                    *ways(component, config, class_name),
                ),
                certified=host_of(component, config) if own else "",
                supplied=_supplied(component, config),
                marked=_marked(component, config),
                relocation=relocations.get(component.name),
                asked=tuple(renderer.asked(component).values()),
            )
            for component in selection.managed
        ),
        external=tuple(c.name for c in selection.external),
        disabled=tuple(c.name for c in selection.disabled),
        creates_cluster=creates_cluster,
        ports=ports,
        authority=(config.platform.domain or "") if own else "",
        login=login,
        step_timeout_s=seconds_of(config.cluster.step_timeout),
        warnings=(*nodes, *_without_effect(config), *_of_backups(config)),
    )


def _without_effect(config: Config) -> Iterator[str]:
    """Yield what the configuration asks for and this version does not do."""
    if config.tunneling.provider is not TunnelProvider.LOCAL:
        yield (
            f"tunneling.provider {config.tunneling.provider.value} has no effect: "
            "this version sets up no tunnels"
        )
    if config.platform.ingress_type is not IngressType.INGRESS and config.ingress != Ingress():
        kind = config.platform.ingress_type.value
        yield f"ingress has no effect: platform.ingress_type is {kind}"
    if config.github.apps:
        yield "github.apps has no effect: this version does not set up GitHub Apps"


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


def _login(config: Config) -> Login | None:
    registry = config.registry
    if registry.type is RegistryType.LOCAL or not registry.username:
        return None
    return Login(host=registry.host, username=registry.username, secret_path=_LOGIN)


def _settings(config: Config, name: str) -> ComponentSettings:
    return config.components.get(name) or ComponentSettings()


def _check(config: Config, charts: Mapping[str, Chart]) -> None:
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


def _context(config: Config, selection: Selection, observed: Observed, base: str) -> dict[str, Any]:
    return {
        "config": config.public(),
        "profile": base,
        "version": __version__,
        "features": config.features.model_dump(),
        "components": [c.name for c in (*selection.managed, *selection.external)],
        "namespaces": sorted({c.namespace for c in selection.managed}),
        "ingress_namespaces": sorted(
            {c.namespace for c in selection.managed if c.access and c.access.subdomain}
        ),
        "cluster": {
            "nodes": observed.nodes,
            "simulated": observed.simulated,
            "kube_version": observed.kube_version,
        },
    }


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


def _supplied(component: Component, config: Config) -> dict[str, tuple[str, Mapping[str, str]]]:
    """Return the supplied Secrets that get at least one value, and those of entries."""
    found = {
        secret.name: (secret.type, secret.keys)
        for secret in component.supplied
        if not secret.each and any(_is_given(config, path) for path in secret.keys.values())
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
    return {
        f"{secret.name}-{name}": ({labels.EACH: secret.each, **entry.labels}, entry.data)
        for secret in component.supplied
        if secret.each
        for name, entry in config.repositories.items()
    }


def _is_given(config: Config, path: str) -> bool:
    return bool(config.secret_values(path) or config.secret_reference(path))
