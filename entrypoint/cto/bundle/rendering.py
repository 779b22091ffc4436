"""Renders every component as an installation would: each profile, oldest and newest Kubernetes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cto import digests
from cto.bundle.collect import Rendering
from cto.catalog import Catalog, Component
from cto.config.model import Config
from cto.objects import Manifest
from cto.plan.observed import Observed
from cto.plan.wanted import select, wanted
from cto.plan.wish import WantedComponent
from cto.ports import Chart, Releases, ReleaseSpec


@dataclass(frozen=True, kw_only=True)
class Wish:
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

    def render(self, wishes: Sequence[Wish], kube_versions: Sequence[str]) -> Iterator[Rendering]:
        """Yield every component that a wish asks for, with hooks and the installer's own objects.

        Raises:
            CtoError: A chart cannot be had, a template or a chart cannot be rendered.
        """
        for wish in wishes:
            for kube_version in kube_versions:
                yield from self._rendered(wish, kube_version)

    def _rendered(self, wish: Wish, kube_version: str) -> Iterator[Rendering]:
        selection = select(self._catalog, wish.config)
        made = wanted(
            wish.config,
            selection,
            {component.name: self._chart(component) for component in selection.managed},
            Observed(
                exists=False,
                kube_version=kube_version,
                nodes=wish.config.cluster.nodes,
                simulated=False,
            ),
            provider="existing",
            creates_cluster=False,
            base=wish.profile,
            # The machine that makes a bundle must not decide what is in it.
            env={},
        )
        for item in made.components:
            yield Rendering(
                component=item.component.name,
                profile=wish.profile,
                kube_version=kube_version,
                manifests=(*item.before, *self._release(item, kube_version), *item.after),
            )

    def _chart(self, component: Component) -> Chart:
        if component.name not in self._charts:
            self._charts[component.name] = self._find(component)
        return self._charts[component.name]

    def _release(self, item: WantedComponent, kube_version: str) -> Sequence[Manifest]:
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
