"""Bundles that are made, made again, broken off, and looked at."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.errors import Cancelled, IntegrityError, ToolError, UsageError
from cto_airgap.build import Builder, WantedChart, WantedImage
from cto_airgap.bundle import difference, listing
from cto_airgap.contents import ItemKind
from cto_airgap.layout import Layout
from cto_airgap.oci import ImagePlatform, digest_of
from cto_airgap.reference import parse_reference
from cto_airgap.verify import Flaw, check, verify
from fakes import images
from fakes.trouble import Trouble
from unit.airgap.world import HOST, World, files_of


def test_a_bundle_holds_what_was_wanted_and_nothing_else(world: World) -> None:
    built = world.build()
    entries = listing(world.bundle)
    assert [(entry.name, entry.kind) for entry in entries.entries] == [
        ("charts/thing:0.1.0_build", ItemKind.CHART),
        (f"{HOST}/team/one:1.0", ItemKind.IMAGE),
        (f"{HOST}/two:2.0", ItemKind.IMAGE),
    ]
    assert [entry.digest for entry in entries.of(ItemKind.IMAGE)] == [
        world.one.root,
        world.two.root,
    ]
    assert (entries.digest, entries.size) == (built.digest, built.size)
    assert entries.platform == ImagePlatform("linux", "amd64")
    files = files_of(world.bundle)
    blobs = [data for name, data in files.items() if name.startswith("blobs/")]
    assert built.size == sum(map(len, blobs))
    assert blobs.count(world.shared) == 1
    assert len(world.fake.requests("GET", digest_of(world.shared))) == 1
    assert check(world.bundle).files == len(blobs)


def test_upstream_s_index_is_kept_and_what_is_absent_written_down(world: World) -> None:
    built = world.build()
    item = built.contents.images[0]
    layout = Layout(world.bundle)
    assert layout.document(item.descriptor).data == world.one.documents[world.one.root][1]
    absent = {digest for digest in item.absent if not layout.blob(digest).exists()}
    assert absent == item.absent
    assert len(absent) == 2


def test_two_builds_give_the_same_bytes(world: World) -> None:
    one = world.build("one")
    images_reversed = tuple(reversed(world.wanted.images))
    world.wanted = replace(world.wanted, images=images_reversed)
    two = world.build("two")
    assert one.digest == two.digest
    assert files_of(world.folder / "one") == files_of(world.folder / "two")


def test_a_second_build_fetches_nothing(world: World) -> None:
    first = world.build()
    assert first.fetched > len(world.shared)
    before = len(world.fake.requests("GET", "/blobs/sha256"))
    second = world.build()
    assert (second.digest, second.fetched) == (first.digest, 0)
    # The configuration of the image without an index says its platform: that is small.
    assert len(world.fake.requests("GET", "/blobs/sha256")) - before == 1


def test_what_the_new_bundle_does_not_need_is_removed(world: World) -> None:
    world.build()
    world.wanted = replace(world.wanted, images=world.wanted.images[:1], charts=())
    world.build()
    check(world.bundle)
    assert [entry.name for entry in listing(world.bundle).entries] == [f"{HOST}/two:2.0"]


def test_a_build_that_broke_off_is_no_bundle_and_goes_on(world: World) -> None:
    shared = digest_of(world.shared)
    world.fake.troubles.add(Trouble("GET", shared, cut=20_000), Trouble("GET", shared, status=403))
    with pytest.raises(ToolError) as caught:
        world.build()
    assert caught.value.code == "CTO-1511"
    with pytest.raises(IntegrityError) as refused:
        check(world.bundle)
    assert refused.value.code == "CTO-1811"
    world.client.stop.clear()
    world.build()
    check(world.bundle)
    last = world.fake.requests("GET", shared)[-1]
    assert last.headers["Range"] == "bytes=20000-"


def test_a_beginning_that_was_damaged_is_fetched_anew(world: World) -> None:
    shared = digest_of(world.shared)
    part = world.bundle / ".parts" / shared.replace(":", "-")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    world.build()
    check(world.bundle)
    sent = [one.headers.get("Range") for one in world.fake.requests("GET", shared)]
    assert sent == ["bytes=1000-", None]


def test_a_damaged_bundle_is_mended_by_building_it_again(world: World) -> None:
    built = world.build()
    for name in files_of(world.bundle):
        path = world.bundle / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert world.build().digest == built.digest
    check(world.bundle)


@pytest.mark.parametrize("seed", range(25))
def test_verify_finds_any_flipped_bit(world: World, seed: int) -> None:
    world.build()
    chance = random.Random(seed)  # noqa: S311 - the same ones every time
    name = chance.choice(sorted(files_of(world.bundle)))
    path = world.bundle / name
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data) * 8)
    data[at // 8] ^= 1 << (at % 8)
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        check(world.bundle)
    assert caught.value.exit_code == 8
    assert name in caught.value.details


def test_verify_names_file_flaw_and_images(world: World) -> None:
    world.build()
    blobs = Layout(world.bundle)
    shared = blobs.blob(digest_of(world.shared))
    shared.write_bytes(world.shared[:-1])
    root = blobs.blob(world.one.root)
    root.unlink()
    (world.bundle / "blobs" / "sha256" / "surplus").write_bytes(b"x")
    (world.bundle / "oci-layout").write_bytes(b"{}")
    found = {problem.flaw: problem for problem in verify(world.bundle, workers=2).problems}
    assert found[Flaw.SIZE].needed_by == (f"{HOST}/two:2.0",)
    size = len(world.shared)
    assert str(found[Flaw.SIZE]) == (
        f"blobs/sha256/{shared.name}: wrong size ({size - 1} bytes instead of {size}), "
        f"needed by {HOST}/two:2.0"
    )
    assert found[Flaw.MISSING].file == f"blobs/sha256/{root.name}"
    assert found[Flaw.MISSING].needed_by == (f"{HOST}/team/one:1.0",)
    assert found[Flaw.BYTES].file == "oci-layout"
    surplus = [one for one in verify(world.bundle).problems if one.flaw is Flaw.SURPLUS]
    assert "blobs/sha256/surplus: nothing needs it" in map(str, surplus)
    (world.bundle / "oci-layout").unlink()
    assert "oci-layout: missing" in map(str, verify(world.bundle).problems)
    with pytest.raises(IntegrityError, match="damaged"):
        listing(world.bundle)


def test_a_blob_that_is_no_file_is_a_problem(world: World) -> None:
    world.build()
    path = Layout(world.bundle).blob(digest_of(world.shared))
    path.unlink()
    path.mkdir()
    problems = verify(world.bundle).problems
    assert [problem.file for problem in problems] == [f"blobs/sha256/{path.name}"]


def test_a_problem_names_only_the_first_images(world: World) -> None:
    many = [f"quay.io/team/x{number}:1" for number in range(7)]
    for name in many:
        reference = parse_reference(f"{HOST}/{name.partition('/')[2]}")
        world.fake.add(reference.repository, world.two, reference.tag)
    wanted = [parse_reference(f"{HOST}/{name.partition('/')[2]}") for name in many]
    found = tuple(WantedImage(one, world.two.root) for one in wanted)
    world.wanted = replace(world.wanted, images=found, charts=())
    world.build()
    Layout(world.bundle).blob(world.two.root).unlink()
    missing = [one for one in verify(world.bundle).problems if one.flaw is Flaw.MISSING]
    assert str(missing[0]).endswith(f"{HOST}/team/x4:1 and 2 more")


def test_verify_can_be_stopped(world: World) -> None:
    world.build()
    stop = Flag()
    stop.set()
    with pytest.raises(Cancelled):
        verify(world.bundle, stop=stop)


def test_what_is_unresolved_is_refused_by_name(world: World) -> None:
    two = parse_reference("quay.io/a/b:1")
    world.wanted = replace(
        world.wanted,
        images=(*world.wanted.images, WantedImage(two, "unresolved")),
        charts=(WantedChart("thing", "1", "unresolved"),),
    )
    with pytest.raises(IntegrityError) as caught:
        world.build()
    assert caught.value.code == "CTO-1801"
    assert caught.value.details == "quay.io/a/b:1\nchart thing"
    assert not world.bundle.exists()


@pytest.mark.parametrize(("number", "known"), [(1, "linux/amd64, linux/arm64/v8"), (0, "")])
def test_an_image_of_another_platform_is_refused(world: World, number: int, known: str) -> None:
    image = world.wanted.images[number]
    world.wanted = replace(world.wanted, platform=ImagePlatform("linux", "s390x"), images=(image,))
    with pytest.raises(ToolError, match="is not there for linux/s390x") as caught:
        world.build()
    assert caught.value.code == "CTO-1513"
    assert caught.value.details == (f"it is there for {known}" if known else "")


def test_other_bytes_than_those_of_the_digest_are_refused(world: World) -> None:
    shared = digest_of(world.shared)
    world.fake.damage(shared, images.noise(len(world.shared), 9))
    with pytest.raises(IntegrityError) as caught:
        world.build()
    assert caught.value.code == "CTO-1800"
    assert shared in caught.value.details
    assert not Layout(world.bundle).blob(shared).exists()


def test_another_manifest_than_that_of_the_digest_is_refused(world: World) -> None:
    world.fake.damage(world.one.root, b"{}")
    with pytest.raises(IntegrityError, match="something else than"):
        world.build()


def test_a_chart_that_was_exchanged_is_refused(world: World) -> None:
    images.chart(world.folder / "thing-0.1.0+build.tgz", "other", "9")
    with pytest.raises(IntegrityError, match="wrong sha256"):
        world.build()


@pytest.mark.parametrize("name", ["notes.txt", "index.json"])
def test_a_folder_of_somebody_else_is_not_touched(world: World, name: str) -> None:
    world.bundle.mkdir()
    (world.bundle / name).write_text('{"manifests": []}')
    with pytest.raises(UsageError, match=name):
        world.build()
    assert files_of(world.bundle) == {name: b'{"manifests": []}'}


def test_a_build_can_be_stopped(world: World) -> None:
    world.client.stop.set()
    with pytest.raises(Cancelled):
        world.build()


def test_an_interrupt_ends_the_workers(world: World) -> None:
    def interrupted(_: Any) -> Path:
        raise KeyboardInterrupt

    stop = Flag()
    builder = Builder(world.client.registry, interrupted, stop=stop)
    with pytest.raises(KeyboardInterrupt):
        builder.build(world.wanted, world.bundle)
    assert stop.is_set()


def test_progress_ends_with_all_bytes(world: World) -> None:
    built = world.build()
    last = world.client.said[-1]
    assert (last.done, last.total) == (built.fetched, built.fetched)
    assert last.text.startswith(HOST)


def test_a_difference_is_told_in_images_and_bytes(world: World) -> None:
    world.build("old")
    layer = images.layer({"new": images.noise(4_000, 5)})
    two = images.image(images.layer({"shared": images.noise(30_000, 1)}), layer)
    world.fake.add("two", two, "2.0")
    three = world.fake.add("three", images.image(layer), "3")
    kept = world.wanted.images[1]
    new = WantedImage(parse_reference(f"{HOST}/three:3"), three.root)
    changed = WantedImage(parse_reference(f"{HOST}/two:2.0"), two.root)
    world.wanted = replace(world.wanted, images=(kept, new, changed), charts=())
    world.build("new")
    found = difference(world.folder / "old", world.folder / "new")
    assert [entry.name for entry in found.added] == [f"{HOST}/three:3"]
    assert [entry.name for entry in found.removed] == ["charts/thing:0.1.0_build"]
    assert [(a.digest, b.digest) for a, b in found.changed] == [(world.two.root, two.root)]
    assert found.new_layers == len(layer)
    assert found.gone_layers == (world.folder / "thing-0.1.0+build.tgz").stat().st_size
    sizes = [listing(world.folder / name).size for name in ("old", "new")]
    assert found.grown == sizes[1] - sizes[0]


def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="holds no bundle") as caught:
        listing(tmp_path)
    assert caught.value.details == "index.json: No such file or directory"
