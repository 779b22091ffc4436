"""The same cases on a registry in memory and on CNCF Distribution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.errors import CtoError, IntegrityError, ToolError
from cto_airgap.build import WantedBundle, WantedImage
from cto_airgap.bundle import listing
from cto_airgap.contents import ItemKind
from cto_airgap.layout import Layout
from cto_airgap.oci import Descriptor, digest_of
from cto_airgap.reference import PushTarget, Reference, parse_reference
from cto_airgap.sources import resolve
from cto_airgap.uploads import Sent
from cto_airgap.verify import check
from cto_airgap.web import WebTransport
from fakes import images
from fakes.depot import BIG, SHARED, Depot, blob_file, described
from fakes.flaky import FlakyProxy
from fakes.images import Image
from fakes.registry import FakeRegistry
from fakes.trouble import Trouble
from lab.registry.running import Registries, missing

BOTH = [pytest.param("fake"), pytest.param("real", marks=pytest.mark.lab)]


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """Run CNCF Distribution; skip, and say why, if it was not built."""
    if why := missing():
        pytest.skip(why)
    with Registries(tmp_path / "registries") as registries:
        yield registries.start()


@pytest.fixture
def depot(request: pytest.FixtureRequest) -> Iterator[Depot]:
    """A registry that knows no log-ins, at the end of a line that may break."""
    if request.param == "fake":
        fake = FakeRegistry()
        yield Depot(
            "registry.example.com",
            fake,
            fake.troubles,
            lambda method, fragment: len(fake.requests(method, fragment)),
        )
        return
    target = request.getfixturevalue("target")
    with FlakyProxy(target) as proxy, WebTransport() as transport:
        yield Depot(
            proxy.host,
            transport,
            proxy.troubles,
            lambda method, fragment: len(proxy.requests(method, fragment)),
            plain=True,
        )


both = pytest.mark.parametrize("depot", BOTH, indirect=True)


@pytest.fixture
def big() -> Image:
    return images.image(images.layer({"big": images.noise(BIG, 7)}))


def fetched(depot: Depot, name: str, image: Image, folder: Path) -> bytes:
    """Fetch the last layer of an image."""
    digest, data = [*image.blobs.items()][-1]
    layout = Layout(folder / "layout")
    wanted = described(digest, data)
    with layout.part(wanted) as part:
        depot.registry.fetch(depot.reference(name), wanted, part)
    return layout.blob(digest).read_bytes()


@both
def test_what_was_pushed_is_there_as_it_was(depot: Depot, tmp_path: Path, big: Image) -> None:
    depot.add("team/big:1", big, tmp_path)
    reference = depot.reference("team/big:1")
    found = depot.registry.manifest(reference)
    assert (found.media_type, found.data) == big.documents[big.root]
    assert depot.registry.manifest(reference.at(big.root)) == found
    assert depot.registry.digest(reference) == big.root
    assert fetched(depot, "team/big:1", big, tmp_path) == [*big.blobs.values()][-1]
    config, data = next(iter(big.blobs.items()))
    assert depot.registry.config(reference, described(config, data)) == data


@both
def test_docker_types_are_kept(depot: Depot, tmp_path: Path) -> None:
    made = images.index({"linux/amd64": images.image(text="x", docker=True)}, docker=True)
    depot.add("old:1", made, tmp_path)
    found = depot.registry.manifest(depot.reference("old:1"))
    assert (found.media_type, found.data) == made.documents[made.root]


@both
def test_what_is_not_there_is_said_to_be_missing(depot: Depot, tmp_path: Path) -> None:
    depot.add("here:1", images.image(), tmp_path)
    for name in ("here:2", "nowhere:1"):
        with pytest.raises(ToolError) as caught:
            depot.registry.manifest(depot.reference(name))
        assert caught.value.code == "CTO-1513"
        assert name in caught.value.message
        assert depot.registry.digest(depot.reference(name)) == ""
    none = described(digest_of(b"none"), b"none")
    assert not depot.registry.has_blob(depot.reference("here:1"), none)
    assert depot.clock.waits == []


@both
def test_a_name_is_resolved_to_its_digest_platforms_and_size(depot: Depot, tmp_path: Path) -> None:
    shared = images.layer({"a": b"a"})
    made = images.index(
        {
            "linux/amd64": images.image(shared),
            "linux/arm64/v8": images.image(shared, platform="linux/arm64/v8"),
        },
        attestations=[images.image(text="proof", platform="unknown/unknown")],
    )
    depot.add("many:1", made, tmp_path)
    alone = depot.add("alone:1", images.image(platform="linux/arm64/v8"), tmp_path)
    found = resolve(depot.registry, depot.reference("many:1"))
    assert found.digest == made.root
    assert [str(one) for one in found.platforms] == ["linux/amd64", "linux/arm64"]
    proof = [*made.blobs.values()][-1]
    documents = [data for _, data in made.documents.values()]
    parts = [*made.blobs.values(), *documents]
    assert found.size == sum(map(len, parts)) - len(proof) - len(documents[2])
    other = resolve(depot.registry, depot.reference("alone:1"))
    assert (other.digest, *map(str, other.platforms)) == (alone.root, "linux/arm64")


@both
def test_a_blob_is_mounted_where_another_repository_has_it(depot: Depot, tmp_path: Path) -> None:
    made = depot.add("first:1", images.image(images.layer({"a": b"a"})), tmp_path)
    digest, data = [*made.blobs.items()][-1]
    wanted, path = described(digest, data), blob_file(tmp_path, digest)
    second = depot.reference("second:1")
    assert not depot.registry.has_blob(second, wanted)
    assert depot.uploader.blob(second, wanted, path, source="first") is Sent.MOUNTED
    assert depot.registry.has_blob(second, wanted)
    other = described(digest_of(b"other"), b"other")
    (tmp_path / "other").write_bytes(b"other")
    sent = depot.uploader.blob(second, other, tmp_path / "other", source="first")
    assert sent is Sent.UPLOADED


@both
def test_a_broken_download_goes_on_where_it_was(depot: Depot, tmp_path: Path, big: Image) -> None:
    depot.add("big:1", big, tmp_path)
    before = depot.count("GET", "/blobs/")
    depot.troubles.add(*(Trouble("GET", "/blobs/", cut=1 << 20) for _ in range(3)))
    assert fetched(depot, "big:1", big, tmp_path) == [*big.blobs.values()][-1]
    # A fourth request for what three pieces left over, or none if they were all.
    assert depot.count("GET", "/blobs/") - before == 4
    assert depot.troubles.left == 0


@both
def test_an_upload_that_broke_is_sent_again(depot: Depot, tmp_path: Path, big: Image) -> None:
    depot.troubles.add(Trouble("PATCH", "/uploads/", cut=1 << 20))
    depot.troubles.add(Trouble("PUT", "/manifests/"))
    depot.add("big:1", big, tmp_path)
    assert fetched(depot, "big:1", big, tmp_path) == [*big.blobs.values()][-1]
    assert depot.troubles.left == 0


@both
def test_a_registry_may_ask_for_patience(depot: Depot, tmp_path: Path) -> None:
    depot.add("x:1", images.image(), tmp_path)
    depot.troubles.add(Trouble("GET", "/manifests/", status=429, headers={"Retry-After": "7"}))
    depot.troubles.add(Trouble("GET", "/manifests/", status=503))
    depot.troubles.add(Trouble("GET", "/manifests/"))
    depot.registry.manifest(depot.reference("x:1"))
    assert depot.clock.waits == [7.0, 2.0, 4.0]


@both
def test_patience_has_an_end(depot: Depot) -> None:
    depot.troubles.add(*(Trouble("GET", "/manifests/", status=429) for _ in range(6)))
    with pytest.raises(ToolError) as caught:
        depot.registry.manifest(depot.reference("x:1"))
    assert caught.value.code == "CTO-1512"
    long = Trouble("GET", "/manifests/", status=429, headers={"Retry-After": "3600"})
    depot.troubles.add(long)
    with pytest.raises(ToolError, match="limits requests") as caught:
        depot.registry.manifest(depot.reference("x:1"))
    assert "3600" in caught.value.details


@both
def test_a_line_that_is_dead_is_told(depot: Depot) -> None:
    depot.troubles.add(*(Trouble("GET", "/manifests/") for _ in range(4)))
    with pytest.raises(ToolError) as caught:
        depot.registry.manifest(depot.reference("x:1"))
    assert caught.value.code == "CTO-1510"
    assert depot.host in caught.value.message


@both
def test_wrong_bytes_are_not_kept(depot: Depot, tmp_path: Path, big: Image) -> None:
    depot.add("big:1", big, tmp_path)
    digest, data = [*big.blobs.items()][-1]
    config = next(iter(big.blobs))
    layout = Layout(tmp_path / "layout")
    too_long = Descriptor(media_type="x", digest=digest, size=len(data) - 1)
    with layout.part(too_long) as part, pytest.raises(IntegrityError) as caught:
        depot.registry.fetch(depot.reference("big:1"), too_long, part)
    assert (caught.value.code, part.size) == ("CTO-1800", 0)
    other = Descriptor(media_type="x", digest=config, size=len(data))
    with layout.part(other) as part, pytest.raises(CtoError):
        depot.registry.fetch(depot.reference("big:1"), other, part)
    assert not layout.blob(config).exists()


@both
def test_mirrors_are_asked_first(depot: Depot, tmp_path: Path) -> None:
    made = depot.add("mirror/quay.io/team/x:1", images.image(), tmp_path)
    scheme = "http://" if depot.plain else ""
    depot.mirrors = {
        "quay.io": [f"{scheme}{depot.host}/nothing", f"{scheme}{depot.host}/mirror/quay.io"]
    }
    found = depot.registry.manifest(parse_reference("quay.io/team/x:1"))
    assert found.digest == made.root


@both
def test_a_bundle_goes_from_one_registry_to_another_place(depot: Depot, tmp_path: Path) -> None:
    wanted = depot.fill(tmp_path)
    depot.builder(tmp_path).build(wanted, tmp_path / "bundle")
    check(tmp_path / "bundle")
    entries = {entry.name: entry for entry in listing(tmp_path / "bundle").entries}
    outcome = depot.pusher.push(tmp_path / "bundle", PushTarget(depot.host, "mine"))
    assert [one.sent for one in outcome.pushed] == [True, True, True]
    for one in outcome.pushed:
        found = depot.registry.manifest(one.new)
        assert found.digest == one.new.digest
        assert depot.registry.digest(Reference(one.new.host, one.new.repository, one.new.tag)) == (
            one.new.digest
        )
        assert one.manifest == entries[one.old].manifest
        if found.is_index:
            assert [child.digest for child in found.children] == [one.manifest]
            assert one.upstream != one.new.digest
    assert outcome.uploaded > len(SHARED)
    assert outcome.mounted == len(SHARED)
    again = depot.pusher.push(tmp_path / "bundle", PushTarget(depot.host, "mine"))
    assert (again.mapping, again.uploaded, again.mounted) == (outcome.mapping, 0, 0)
    assert not any(one.sent for one in again.pushed)


@both
def test_what_was_pushed_can_be_bundled_again(depot: Depot, tmp_path: Path) -> None:
    wanted = depot.fill(tmp_path)
    depot.builder(tmp_path).build(wanted, tmp_path / "bundle")
    outcome = depot.pusher.push(tmp_path / "bundle", PushTarget(depot.host, "mine"))
    moved = [
        WantedImage(Reference(one.new.host, one.new.repository, one.new.tag), one.new.digest)
        for one in outcome.pushed
        if one.kind is ItemKind.IMAGE
    ]
    again = WantedBundle(platform=wanted.platform, images=tuple(moved))
    built = depot.builder(tmp_path).build(again, tmp_path / "again")
    assert not any(item.absent for item in built.contents.items)
    check(tmp_path / "again")
