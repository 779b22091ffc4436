"""Every component is rendered as an installation would, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cto import assets, catalog
from cto.bundle.collect import pod_images
from cto.bundle.rendering import (
    PROFILES,
    ComponentRenderer,
    RenderTarget,
    own_images,
    render_targets,
)
from cto.catalog import Catalog, Component
from cto.objects import Manifest
from cto.ports import Chart, ReleaseSpec
from fakes import components as fake
from fakes.cluster import FakeCluster
from fakes.releases import FakeReleases
from unit.bundle.parts import workload

VERSIONS = ("v1.31.0", "v1.36.0")


@pytest.fixture(scope="module")
def real() -> Catalog:
    return catalog.load(assets.root() / "bundle")


@pytest.fixture(scope="module")
def all_targets(real: Catalog) -> Sequence[RenderTarget]:
    return list(render_targets(assets.root() / "profiles", [c.name for c in real.components]))


def chart(component: Component) -> Chart:
    return fake.chart(component.chart.name)


def test_every_profile_is_a_target_with_what_it_may_switch_on(
    all_targets: Sequence[RenderTarget],
) -> None:
    assert [target.profile for target in all_targets] == [
        name for name in PROFILES for _ in range(4)
    ]
    by_profile = [target.config for target in all_targets if target.profile == "production"]
    assert [config.features.mail_notifications for config in by_profile] == [*[False] * 3, True]
    assert [config.features.object_store for config in by_profile].index(True) == 2
    assert [config.tunneling.provider for config in by_profile] == [
        "local", "local", "ngrok", "cloudflare"
    ]  # fmt: skip
    assert [config.cluster.nodes for config in by_profile] == [3, 1, 3, 3]


def test_a_rendering_has_the_release_and_the_installers_own_objects(
    real: Catalog, all_targets: Sequence[RenderTarget]
) -> None:
    releases = FakeReleases(FakeCluster())
    found = list(ComponentRenderer(real, chart, releases).render(all_targets[:1], VERSIONS[:1]))
    assert {item.component for item in found} == {c.name for c in real.components if c.required}
    events = next(item for item in found if item.component == "argo-events")
    assert (events.profile, events.kube_version) == ("minimal", "v1.31.0")
    kinds = [manifest["kind"] for manifest in events.manifests]
    assert [kind for kind in kinds if kind != "NetworkPolicy"] == [
        "ConfigMap", "Deployment", "ServiceAccount", "EventBus", "Service"
    ]  # fmt: skip
    assert kinds[0] == "NetworkPolicy"


def test_a_chart_is_rendered_once_for_the_same_values(
    real: Catalog, all_targets: Sequence[RenderTarget]
) -> None:
    """Helm takes most of the time, and most configurations look the same to most charts."""
    releases = FakeReleases(FakeCluster())
    renderer = ComponentRenderer(real, chart, releases)
    found = list(renderer.render([*all_targets[:1], *all_targets[:1]], VERSIONS))
    assert len(found) == 16
    assert len(releases.calls) == 8


def test_charts_see_the_version_of_kubernetes(
    all_targets: Sequence[RenderTarget], tmp_path: Path
) -> None:
    """Upstream names images after it: `kubectl:v1.31.0`."""
    (tmp_path / "values.yaml.j2").write_text("{}")
    component = fake.component("web", chart={"name": "web", "version": "1", "path": "charts/web"})
    made = Catalog(Path(), {"web": component.model_copy(update={"folder": tmp_path})})

    class Releases(FakeReleases):
        def template(
            self,
            spec: ReleaseSpec,
            *,
            kube_version: str,
            api_versions: Sequence[str] = (),
            crds: bool = False,
        ) -> Sequence[Manifest]:
            return (workload("Job", f"kubectl:{kube_version}"),)

    renderer = ComponentRenderer(made, chart, Releases(FakeCluster()))
    found = [
        image.name
        for item in renderer.render(all_targets[:1], VERSIONS)
        for manifest in item.manifests
        for image in pod_images(manifest)
    ]
    assert found == ["kubectl:v1.31.0", "kubectl:v1.36.0"]


def test_whoever_cannot_render_a_chart_knows_whose_it_is(
    real: Catalog, all_targets: Sequence[RenderTarget]
) -> None:
    releases = FakeReleases(FakeCluster())
    asked: list[str] = []

    def render(spec: ReleaseSpec) -> Sequence[Manifest]:
        asked.append(spec.component)
        return ()

    releases.render["argo-cd"] = render
    list(ComponentRenderer(real, chart, releases).render(all_targets[:1], VERSIONS[:1]))
    assert asked == ["argocd"]


def test_an_image_of_ours_is_in_a_bundle_once(real: Catalog) -> None:
    """The controller's has the forwarder, too."""
    names = [name.partition(":")[0] for name in own_images(real.components)]
    assert sorted(names) == ["cto.internal/agent", "cto.internal/controller"]
