"""What an installation finds in a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.errors import IntegrityError
from cto_airgap.bundle import BundleSource
from unit.airgap.world import HOST, World


@pytest.fixture
def source(world: World) -> BundleSource:
    world.wanted = replace(world.wanted, profile="minimal")
    world.build()
    return BundleSource(world.bundle)


def pinned(world: World) -> str:
    return world.wanted.charts[0].sha256


def test_it_tells_what_it_is(world: World, source: BundleSource) -> None:
    assert (source.profile, str(source.platform)) == ("minimal", "linux/amd64")
    assert source.digest == world.build().digest
    assert source.hosts == (HOST,)
    assert source.has_images


def test_without_images_it_is_a_folder_of_charts(world: World) -> None:
    world.wanted = replace(world.wanted, images=())
    world.build()
    assert not BundleSource(world.bundle).has_images
    assert BundleSource(world.bundle).hosts == ()
    assert BundleSource(world.bundle).profile == ""


def test_a_chart_is_the_pinned_archive(world: World, source: BundleSource) -> None:
    chart = source.chart("thing", "0.1.0+build", pinned(world))
    assert chart is not None
    assert (chart.name, chart.version, chart.digest) == ("thing", "0.1.0+build", pinned(world))
    assert chart.path.read_bytes() == (world.folder / "thing-0.1.0+build.tgz").read_bytes()


@pytest.mark.parametrize("version", ["0.1.0+build", "9.9.9"])
def test_a_bundle_that_was_built_of_another_chart_gives_that_one(
    world: World, source: BundleSource, version: str
) -> None:
    chart = source.chart("thing", version, "0" * 64)
    assert chart is not None
    assert (chart.version, chart.digest) == ("0.1.0+build", pinned(world))


def test_a_chart_that_is_not_in_it_is_none(world: World, source: BundleSource) -> None:
    assert source.chart("other", "0.1.0", pinned(world)) is None


@pytest.mark.parametrize("damage", ["wrong bytes", "No such file or directory"])
def test_a_damaged_chart_is_named(world: World, source: BundleSource, damage: str) -> None:
    path = world.bundle / "blobs" / "sha256" / pinned(world)
    path.unlink()
    if damage == "wrong bytes":
        path.write_bytes(b"x")
    with pytest.raises(IntegrityError) as caught:
        source.chart("thing", "0.1.0+build", pinned(world))
    assert caught.value.code == "CTO-1810"
    needed = "needed by charts/thing:0.1.0+build"
    assert caught.value.details == f"blobs/sha256/{pinned(world)}: {damage}, {needed}"


def test_an_image_is_found_by_tag_and_by_digest(world: World, source: BundleSource) -> None:
    one = source.image(f"{HOST}/team/one:1.0")
    assert one is not None
    assert one.descriptor.digest == world.one.root
    assert source.image(f"{HOST}/team/one@{world.one.root}") == one
    assert source.image(f"{HOST}/team/one:1.0@{world.one.root}") == one


@pytest.mark.parametrize("name", ["team/one:2.0", "team/two:1.0", f"team/one@sha256:{'0' * 64}"])
def test_another_image_is_not_in_it(source: BundleSource, name: str) -> None:
    assert source.image(f"{HOST}/{name}") is None


def test_a_folder_without_a_bundle_is_none(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        _ = BundleSource(tmp_path).contents
    assert caught.value.code == "CTO-1811"
