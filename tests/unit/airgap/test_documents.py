"""Indexes, manifests, descriptors, and the index of a bundle."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto_airgap import contents
from cto_airgap.contents import Contents, Item, ItemKind
from cto_airgap.oci import (
    LARGEST_DOCUMENT,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    ImagePlatform,
    algorithm_of,
    digest_of,
    hex_of,
    parse_digest,
    part_of,
    read_document,
)
from fakes import images

SUM = digest_of(b"x")
ENTRY: dict[str, Any] = {"mediaType": OCI_MANIFEST, "digest": SUM, "size": 3}


def raw(**fields: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **fields}).encode()


def test_a_manifest_names_its_configuration_and_its_layers() -> None:
    made = images.image(images.layer({"a": b"1"}))
    kind, data = made.documents[made.root]
    found = read_document(data, kind)
    assert [blob.digest for blob in found.blobs] == [*made.blobs]
    assert not found.is_index
    assert found.descriptor == Descriptor(media_type=kind, digest=made.root, size=len(data))


def test_an_index_finds_the_child_for_a_platform() -> None:
    amd, arm = images.image(text="amd"), images.image(platform="linux/arm64/v8")
    made = images.index({"linux/amd64": amd, "linux/arm64/v8": arm})
    found = read_document(made.documents[made.root][1])
    for text, wanted in (("linux/amd64", amd), ("linux/arm64", arm), ("linux/amd64/v1", amd)):
        child = found.child_for(ImagePlatform.parse(text))
        assert child
        assert child.digest == wanted.root
    assert found.child_for(ImagePlatform("linux", "s390x")) is None
    assert found.child_for(ImagePlatform("linux", "amd64", "v3")) is None


def test_the_type_may_be_told_by_who_points_there() -> None:
    assert read_document(raw(manifests=[]), OCI_INDEX).is_index


@pytest.mark.parametrize(
    ("data", "media_type", "why"),
    [
        (b"{", OCI_INDEX, "no JSON"),
        (b"[" * 100_000, OCI_INDEX, "no JSON"),
        (b"[]", OCI_INDEX, "no JSON object"),
        (raw(mediaType=OCI_INDEX), OCI_MANIFEST, "calls itself"),
        (raw(), "", "unknown"),
        (raw(mediaType="text/plain"), "", "text/plain"),
        (raw(manifests=[1]), OCI_INDEX, "no object"),
        (raw(manifests=[{**ENTRY, "size": -1}]), OCI_INDEX, "mediaType or size"),
        (raw(manifests=[{**ENTRY, "size": True}]), OCI_INDEX, "mediaType or size"),
        (raw(manifests=[{**ENTRY, "digest": "sha256:../../x"}]), OCI_INDEX, "not a digest"),
        (raw(layers=[]), OCI_MANIFEST, "no object"),
        (b" " * (LARGEST_DOCUMENT + 1), OCI_INDEX, "larger than"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, media_type: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_document(data, media_type)


def test_a_part_of_an_index_keeps_everything_else() -> None:
    entries = [{**ENTRY, "platform": {"os": "linux", "architecture": "amd64", "os.version": "1"}}]
    entries.append({**ENTRY, "digest": digest_of(b"y")})
    index = read_document(raw(mediaType=OCI_INDEX, manifests=entries, annotations={"a": "b"}))
    part = part_of(index, [SUM])
    assert json.loads(part.data) == {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": entries[:1],
        "annotations": {"a": "b"},
    }
    assert part.digest != index.digest
    assert part_of(index, [child.digest for child in index.children]) is index


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "a/b/c/d", ""])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a platform"):
        ImagePlatform.parse(text)


def test_a_descriptor_is_written_as_it_was_read() -> None:
    data = {
        **ENTRY,
        "platform": {"os": "linux", "architecture": "arm", "variant": "v6"},
        "annotations": {"a": "b"},
    }
    assert Descriptor.from_json(data).to_json() == data
    assert str(Descriptor.from_json(data).platform) == "linux/arm/v6"


names = st.from_regex(r"[a-z]{1,8}\.io/[a-z]{1,8}:[a-z0-9]{1,5}", fullmatch=True)
sums = st.binary(max_size=3).map(digest_of)
items = st.builds(
    Item,
    name=names,
    kind=st.sampled_from(ItemKind),
    descriptor=st.builds(
        Descriptor,
        media_type=st.sampled_from([OCI_INDEX, OCI_MANIFEST]),
        digest=sums,
        size=st.integers(0, 1 << 40),
    ),
    absent=st.frozensets(sums, max_size=3),
)
bundles = st.lists(items, max_size=5, unique_by=lambda item: item.name).map(
    lambda found: Contents(
        platform=ImagePlatform("linux", "arm64"),
        items=tuple(sorted(found, key=lambda item: item.name)),
    )
)


@given(bundles)
def test_contents_survive_a_round_trip(found: Contents) -> None:
    data = found.to_bytes()
    assert contents.read_contents(data) == found
    assert contents.read_contents(data).to_bytes() == data
    assert {*found.images, *found.charts} == {*found.items}


@given(bundles, st.data())
def test_no_bit_of_the_index_can_be_flipped(found: Contents, choice: st.DataObject) -> None:
    data = bytearray(found.to_bytes())
    at = choice.draw(st.integers(0, len(data) * 8 - 1))
    data[at // 8] ^= 1 << (at % 8)
    with pytest.raises(ValueError):  # noqa: PT011 - json, digests and contents have their own words
        contents.read_contents(bytes(data))


@pytest.mark.parametrize(
    "data", [b"[]", b"{}", b'{"annotations": []}', b"\xff", b'{"annotations": {"a": "b"}}']
)
def test_another_index_is_not_that_of_a_bundle(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json and contents have their own words
        contents.read_contents(data)


def test_an_entry_without_a_name_is_not_ours() -> None:
    with pytest.raises(ValueError, match="has no name"):
        Item.from_json(ENTRY)


def test_contents_are_sorted_and_unique() -> None:
    one = Item(name="a", kind=ItemKind.IMAGE, descriptor=Descriptor.from_json(ENTRY))
    with pytest.raises(ValueError, match="twice"):
        Contents(platform=ImagePlatform("linux", "amd64"), items=(one, one))


def test_sha512_will_do() -> None:
    found = parse_digest(f"sha512:{'a' * 128}")
    assert (algorithm_of(found), hex_of(found)) == ("sha512", "a" * 128)
