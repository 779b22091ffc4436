"""What our own image is called, and which one has what its bundle lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from cto import __version__
from cto.catalog import Component
from cto.cli import bundled
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.plan.desired import DesiredState
from cto.relocation import Relocation
from cto.result import CheckStatus
from cto_airgap.bundle import BundleSource
from fakes.components import component, wanted, wanted_component
from fakes.desk import Desk
from unit.airgap.conftest import client, fake, world
from unit.airgap.world import World

__all__ = ["client", "fake", "world"]
NEEDED = component("grafana", feature="monitoring")


@pytest.fixture
def bundle(world: World) -> BundleSource:
    world.wanted = replace(world.wanted, profile="minimal")
    world.build()
    return BundleSource(world.bundle)


def wiring(bundle: BundleSource | None, **env: str) -> Wiring:
    options = ClusterOptions(bundle=bundle.folder if bundle else None)
    return Wiring(CommandSettings(options, env=env))


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ({}, "IMAGE"),
        ({"CTO_IMAGE_NAME": "cto:1-minimal"}, "cto:1-minimal"),
        (
            {"CTO_IMAGE_NAME": "cto:1-minimal", "CTO_IMAGE": "reg.example/cto:2"},
            "reg.example/cto:2",
        ),
    ],
)
def test_our_image_is_called_what_is_known(env: dict[str, str], name: str) -> None:
    assert wiring(None, **env).bundles.image_name() == name


@pytest.mark.parametrize(
    ("image", "sibling"),
    [
        ("cto:0.1.0-minimal", "cto:0.1.0-standard"),
        ("reg.example:5000/team/cto:0.1.0-minimal", "reg.example:5000/team/cto:0.1.0-standard"),
        ("cto:0.1.0-minimal@sha256:" + "0" * 64, "cto:0.1.0-standard"),
        ("cto:mine", "the image of cto with profile standard"),
        ("", "the image of cto with profile standard"),
    ],
)
def test_what_the_bundle_lacks_is_told_with_where_it_is(
    bundle: BundleSource, image: str, sibling: str
) -> None:
    env = {"CTO_IMAGE_NAME": image} if image else {}
    told = wiring(bundle, **env).bundles.instead([NEEDED]).splitlines()
    assert told[0].startswith(f"The bundle {bundle.folder} is of profile minimal; ")
    assert told[0].endswith(
        "feature monitoring needs is in that of profile standard or production."
    )
    assert told[1] == f"Run that image: {sibling}"
    assert told[2].startswith(
        "or make it: make image PROFILE=standard (a bundle alone: cto bundle "
    )
    assert told[3] == "or do without: features.monitoring: false"


@pytest.mark.parametrize(
    ("components", "profiles"),
    [
        ([component("velero", feature="backup")], "profile production."),
        ([NEEDED, component("velero", feature="backup")], "profile production."),
    ],
)
def test_the_smallest_profile_with_all_of_it_comes_first(
    bundle: BundleSource, components: Sequence[Component], profiles: str
) -> None:
    assert profiles in wiring(bundle).bundles.instead(components)


def test_where_no_profile_would_help_nothing_is_said(bundle: BundleSource, world: World) -> None:
    assert wiring(bundle).bundles.instead([component("core")]) == ""
    assert wiring(None).bundles.instead([NEEDED]) == ""
    world.wanted = replace(world.wanted, profile="")
    world.build()
    assert wiring(BundleSource(world.bundle)).bundles.instead([NEEDED]) == ""


def test_an_installation_says_which_image_has_the_chart(desk: Desk, bundle: BundleSource) -> None:
    """A feature that is switched on, with an image of profile minimal."""
    desk.component(MONITORED)
    desk.env["CTO_IMAGE_NAME"] = "cto:1-minimal"
    words = ("install", "--yes", "--bundle", str(bundle.folder))
    desk.env["CTO_FEATURES__MONITORING"] = "true"
    error = desk.document(*words, code=5)["error"]
    assert error["code"] == "CTO-1502"
    assert "profile minimal" in error["fix"]
    assert "Run that image: cto:1-standard" in error["fix"]


def test_where_there_is_no_cluster_our_image_is_in_the_line(desk: Desk) -> None:
    desk.kubeconfig.write_text("")
    desk.env["CTO_IMAGE_NAME"] = "reg.example/cto:1-minimal"
    error = desk.document("status", code=2)["error"]
    assert "-v ~/.kube:/root/.kube reg.example/cto:1-minimal install" in error["fix"]
    assert "IMAGE" not in error["fix"]


MONITORED = """
name: far
title: Far
category: monitoring
feature: monitoring
required: false
namespace: far
release: far
chart:
  name: far
  version: 1.0.0
  url: https://charts.example.com/far-1.0.0.tgz
  sha256: "0000000000000000000000000000000000000000000000000000000000000000"
homepage: https://example.com
licence: Apache-2.0
"""


# images that are made of this project

OURS = {"ref": "cto.internal/controller", "why": "it", "value": "image", "ours": True}


def wish_of(values: dict[str, str], relocation: Relocation | None = None) -> DesiredState:
    ours = component("controller", images=[OURS])
    return wanted(wanted_component(ours, values=values, relocation=relocation))


def test_who_pulls_from_no_bundle_hears_that_no_registry_has_our_images() -> None:
    name = f"cto.internal/controller:{__version__}"
    (check,) = bundled.checks(wish_of({"image": name}))
    assert check.status is CheckStatus.WARNING
    assert name in check.message
    assert "docs/private-registry.md" in check.fix


def test_another_image_and_a_registry_of_ones_own_are_nothing_to_warn_of() -> None:
    name = f"cto.internal/controller:{__version__}"
    assert bundled.checks(wish_of({"image": "example.com/controller:1"})) == ()
    moved = Relocation(images={name: "example.com/controller@sha256:0"})
    assert bundled.checks(wish_of({"image": name}, moved)) == ()
