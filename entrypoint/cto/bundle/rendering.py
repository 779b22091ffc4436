"""Renders every component as an installation would: each profile, oldest and newest Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cto import digests
from cto.bundle.collect import Rendering
from cto.catalog import Catalog, Component
from cto.config.load import load
from cto.config.model import Config
from cto.objects import Manifest
from cto.plan.desired import DesiredComponent, Destination, desired_state
from cto.plan.observed import Observed
from cto.plan.selection import select
from cto.ports import Chart, Releases, ReleaseSpec

PROFILES = ("minimal", "standard", "production")


def _tunnel(provider: str) -> Mapping[str, Any]:
    given = {"provider": provider, "url": "https://example.com", "credentials": "example"}
    return {f"tunneling.{name}": value for name, value in given.items()}


# Whoever has a profile's bundle may switch on what adds no component, or one that is in no profile
# and small, and have fewer nodes.
_VARIANTS: tuple[Mapping[str, Any], ...] = (
    {},
    {"cluster.nodes": 1, "tunneling.forward": True, "tunneling.url": "https://example.com"},
    {"features.object_store": True, **_tunnel("ngrok"), "github.organization": "example"},
    {
        "features.mail_notifications": True,
        "smtp.host": "smtp.example.com",
        "smtp.sender": "cto@example.com",
        "smtp.recipients": ["team@example.com"],
        "github.organization": "example",
        "platform.ingress_type": "ingress",
        "platform.domain": "example.com",
        "platform.access.github_org": "example",
        "platform.access.client_id": "example",
        "platform.access.client_secret": "example",
        **_tunnel("cloudflare"),
        # A reference: the token of a tunnel has a form.
        "tunneling.credentials": {"secret": "example", "key": "example"},
    },
)


@dataclass(frozen=True, kw_only=True)
class RenderTarget:
    """A configuration to render, which counts for one profile."""

    profile: str
    config: Config


class ComponentRenderer:
    """Renders components without a cluster.

    Args:
        catalog: All components.
        charts: Finds a component's chart.
        releases: Helm.
    """

    def __init__(
        self, catalog: Catalog, charts: Callable[[Component], Chart], releases: Releases
    ) -> None:
        self._catalog = catalog
        self._find = charts
        self._releases = releases
        self._charts: dict[str, Chart] = {}
        # Many configurations differ in nothing that a chart gets to see.
        self._known: dict[str, tuple[Manifest, ...]] = {}

    def render(
        self, targets: Sequence[RenderTarget], kube_versions: Sequence[str]
    ) -> Iterator[Rendering]:
        """Yield every component that a target asks for, with hooks and the installer's own objects.

        Raises:
            CtoError: A chart cannot be had, a template or a chart cannot be rendered.
        """
        for target in targets:
            for kube_version in kube_versions:
                yield from self._rendered(target, kube_version)

    def _rendered(self, target: RenderTarget, kube_version: str) -> Iterator[Rendering]:
        selection = select(self._catalog, target.config)
        made = desired_state(
            target.config,
            selection,
            {component.name: self._chart(component) for component in selection.managed},
            Observed(
                exists=False,
                kube_version=kube_version,
                nodes=target.config.cluster.nodes,
                simulated=False,
            ),
            # The machine that makes a bundle must not decide what is in it: no environment.
            Destination(provider="existing", base=target.profile),
        )
        for item in made.components:
            yield Rendering(
                component=item.component.name,
                profile=target.profile,
                kube_version=kube_version,
                manifests=(*item.before, *self._release(item, kube_version), *item.after),
            )

    def _chart(self, component: Component) -> Chart:
        if component.name not in self._charts:
            self._charts[component.name] = self._find(component)
        return self._charts[component.name]

    def _release(self, item: DesiredComponent, kube_version: str) -> Sequence[Manifest]:
        key = digests.of_data([item.component.name, item.values, kube_version])
        if key not in self._known:
            spec = ReleaseSpec(
                name=item.component.release,
                namespace=item.component.namespace,
                chart=item.chart,
                values=item.values,
                component=item.component.name,
            )
            self._known[key] = tuple(self._releases.template(spec, kube_version=kube_version))
        return self._known[key]


def render_targets(folder: Path, components: Sequence[str]) -> Iterator[RenderTarget]:
    """Yield the configurations of the built-in profiles.

    Args:
        folder: Holds the profiles.
        components: Names of the catalog.

    Raises:
        ConfigError: A profile is not valid.
    """
    for profile in PROFILES:
        for variant in _VARIANTS:
            loaded = load(
                flags={"profile": profile, **variant},
                env={},
                files=(),
                profiles=folder,
                component_names=lambda _: components,
                stdin=str,
            )
            yield RenderTarget(profile=profile, config=loaded.config)


def components_of(
    catalog: Catalog, targets: Iterable[RenderTarget], profile: str
) -> tuple[Component, ...]:
    """Return the components of a profile, in the catalog's order."""
    names = {
        component.name
        for target in targets
        if target.profile == profile
        for component in select(catalog, target.config).managed
    }
    return tuple(component for component in catalog.components if component.name in names)


def own_images(components: Iterable[Component]) -> tuple[str, ...]:
    """Return the images that are made of this project, as no lock names them."""
    found = (image.reference for one in components for image in one.images if image.ours)
    # Several components may run one.
    return tuple(dict.fromkeys(found))
