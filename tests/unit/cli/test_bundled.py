"""Charts that come out of a bundle, and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.adapters.kind.supply import Bundle
from cto.cli.bundled import BundledCharts, described, lacks
from cto.cli.containers import served
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto_airgap.bundle import BundleSource
from fakes.components import component
from fakes.desk import Desk, node
from unit.airgap.conftest import client, fake, world
from unit.airgap.world import HOST, World

__all__ = ["client", "fake", "world"]


@pytest.fixture
def bundle(world: World) -> BundleSource:
    world.wanted = replace(world.wanted, profile="minimal")
    world.build()
    return BundleSource(world.bundle)


def test_without_a_bundle_there_is_no_chart() -> None:
    said: list[str] = []
    assert BundledCharts(None, said.append).find("thing", "1", "0" * 64) is None
    assert said == []


def test_the_pinned_chart_is_taken_without_a_word(world: World, bundle: BundleSource) -> None:
    said: list[str] = []
    sha256 = world.wanted.charts[0].sha256
    found = BundledCharts(bundle, said.append).find("thing", "0.1.0+build", sha256)
    assert found is not None
    assert found.digest == sha256
    assert said == []


def test_another_chart_is_told_once(bundle: BundleSource) -> None:
    said: list[str] = []
    charts = BundledCharts(bundle, said.append)
    assert charts.find("thing", "0.1.0", "0" * 64) is charts.find("thing", "0.1.0", "0" * 64)
    assert said == ["chart thing 0.1.0+build of the bundle is not the one that is pinned"]


def test_a_chart_that_it_lacks_is_looked_for_elsewhere(bundle: BundleSource) -> None:
    said: list[str] = []
    assert BundledCharts(bundle, said.append).find("other", "1", "0" * 64) is None
    assert said == []


def test_a_bundle_is_described_in_a_line(world: World, bundle: BundleSource) -> None:
    text = f"profile minimal, linux/amd64, {bundle.digest}"
    assert described(bundle, Path("b")) == f"charts and images come from b: {text}"
    world.wanted = replace(world.wanted, images=(), profile="")
    world.build()
    slim = BundleSource(world.bundle)
    assert described(slim, Path("b")) == f"charts come from b: linux/amd64, {slim.digest}"


def test_what_serving_takes_is_known(bundle: BundleSource, world: World) -> None:
    found = served(bundle, f"{HOST}/two:2.0")
    assert found == Bundle(
        digest=bundle.digest,
        hosts=(HOST,),
        node=f"{HOST}/two:2.0",
        node_digest=world.two.root,
        architecture="amd64",
    )
    without = served(bundle, f"{HOST}/three:3.0")
    assert (without.node, without.node_digest) == ("", "")


NEEDS = component("web", images=[{"ref": f"{HOST}/three:3.0", "why": "it"}])


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (f"{HOST}/two:2.0", ""),
        (f"{HOST}/two:2.1", f"image not in bundle of profile minimal: {HOST}/two:2.1"),
        (
            f"{HOST}/three:3.0",
            f"image not in bundle of profile minimal: {HOST}/three:3.0 (component Web)",
        ),
        ("NOT AN IMAGE", ""),
    ],
)
def test_what_a_bundle_lacks_is_told_with_who_needs_it(
    bundle: BundleSource, image: str, told: str
) -> None:
    assert lacks(bundle, [NEEDS], image) == told


@pytest.mark.parametrize(
    ("provider", "words", "told"),
    [
        ("kind", (), True),
        ("existing", (), False),
        ("kind", ("--no-air-gapped",), False),
    ],
)
def test_only_nodes_that_ask_nobody_else_lack_what_the_bundle_lacks(
    bundle: BundleSource, provider: str, *, words: tuple[str, ...], told: bool
) -> None:
    flags = {"air_gapped": ("--air-gapped", "false")} if words else {}
    wiring = Wiring(CommandSettings(ClusterOptions(bundle=bundle.folder, flags=flags), env={}))
    assert wiring.configure().config.air_gapped is (False if words else None)
    assert bool(wiring.bundles.lacking(provider)(f"{HOST}/four:4")) is told


def test_without_a_bundle_nothing_is_lacking() -> None:
    assert Wiring(CommandSettings(ClusterOptions(), env={})).bundles.lacking("kind")("x:1") == ""


@pytest.mark.parametrize(
    ("words", "gapped"), [((), True), (("--no-air-gapped",), False), (("--air-gapped",), True)]
)
def test_an_installation_from_a_bundle_says_so_and_fetches_nothing_else(
    desk: Desk, bundle: BundleSource, *, words: tuple[str, ...], gapped: bool
) -> None:
    """A chart that the bundle lacks is looked for where it is published only if that is allowed."""
    desk.component(ELSEWHERE)
    desk.env["CTO_MIRROR"] = str(desk.folder / "mirror")
    done = desk.cto("install", "--bundle", str(bundle.folder), *words)
    assert f"charts and images come from {bundle.folder}: profile minimal" in done.stderr
    assert done.exit_code == 5
    assert "CTO-1502" in done.stderr
    assert ("not asked, because this run is air-gapped" in done.stderr) is gapped


@pytest.mark.parametrize("command", [("install",), ("plan", "install")])
def test_nodes_that_cannot_run_its_images_are_refused_with_both_names(
    desk: Desk, bundle: BundleSource, command: tuple[str, ...]
) -> None:
    other = node("one")
    other["status"]["nodeInfo"] = {"architecture": "arm64"}
    desk.cluster.add(other)
    words = (*command, "--bundle", str(bundle.folder))

    document = desk.document(*words, code=4)

    assert document["error"]["code"] == "CTO-1476"
    text = "the images of DESK/bundle are for amd64, and every node that pods may run on is"
    assert f"{text} arm64" in document["error"]["details"]
    desk.document(*words, "--skip-preflight", "architecture")


ELSEWHERE = """
name: elsewhere
title: Elsewhere
category: core
required: true
namespace: elsewhere
release: elsewhere
chart:
  name: elsewhere
  version: 1.0.0
  url: file:///nowhere/elsewhere-1.0.0.tgz
  sha256: "0000000000000000000000000000000000000000000000000000000000000000"
homepage: https://example.com
licence: Apache-2.0
"""
