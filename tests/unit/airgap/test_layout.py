"""Blobs on their way to the disk, and who else may be writing there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from cto.errors import Cancelled, IntegrityError
from cto_airgap.bundle import open_item
from cto_airgap.contents import Contents, Item, ItemKind
from cto_airgap.layout import Layout, WrongBytesError
from cto_airgap.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, ImagePlatform, digest_of
from cto_airgap.transfers import each
from fakes.depot import described

DATA = b"some bytes"
WANTED = described(digest_of(DATA), DATA)


def test_a_blob_has_no_name_before_it_is_complete(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with layout.part(WANTED) as part:
        part.write(DATA[:4])
        assert not layout.has(WANTED)
        with pytest.raises(WrongBytesError, match="4 bytes"):
            part.finish()
        assert part.size == 0
        part.write(DATA)
        part.finish()
    assert layout.has(WANTED)


def test_a_beginning_is_read_again_and_gone_on_with(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with layout.part(WANTED) as part:
        part.write(DATA[:4])
    with layout.part(WANTED) as part:
        assert (part.size, part.resumed) == (4, True)
        part.write(DATA[4:])
        part.finish()
    assert layout.blob(WANTED.digest).read_bytes() == DATA


def test_a_beginning_that_is_too_long_is_forgotten(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    longer = Descriptor(media_type="x", digest=WANTED.digest, size=len(DATA) + 5)
    with layout.part(longer) as part:
        part.write(DATA + b"12345")
    with layout.part(WANTED) as part:
        assert (part.size, part.resumed) == (0, False)


def test_a_document_is_what_its_descriptor_says(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    wanted = layout.add(b'{"manifests": []}', OCI_INDEX)
    assert layout.document(wanted).is_index
    layout.blob(wanted.digest).write_bytes(b'{"manifests":  []}')
    with pytest.raises(ValueError, match="18 bytes, expected 17"):
        layout.document(wanted)
    layout.blob(wanted.digest).write_bytes(b'{"manifests" :[]}')
    with pytest.raises(ValueError, match="its digest is"):
        layout.document(wanted)
    assert not layout.holds(wanted)
    assert not layout.blob(wanted.digest).exists()


def test_an_item_whose_manifest_is_gone_is_named(tmp_path: Path) -> None:
    descriptor = Descriptor(media_type=OCI_MANIFEST, digest=WANTED.digest, size=1)
    item = Item(name="quay.io/x:1", kind=ItemKind.IMAGE, descriptor=descriptor)
    with pytest.raises(IntegrityError, match="is damaged") as caught:
        open_item(Layout(tmp_path), item)
    assert caught.value.details.endswith("No such file or directory, needed by quay.io/x:1")


def test_an_empty_bundle_is_one(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.add(DATA, "text/plain")
    layout.finish(Contents(platform=ImagePlatform("linux", "amd64")), frozenset())
    assert layout.contents().items == ()
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "blobs",
        "index.json",
        "oci-layout",
    ]


def test_who_comes_second_waits_and_says_so(tmp_path: Path) -> None:
    layout, waiting, done = Layout(tmp_path / "bundle"), Flag(), Flag()

    def second() -> None:
        with Layout(tmp_path / "bundle").alone(lambda _: waiting.set()):
            done.set()

    thread = Thread(target=second)
    with layout.alone(lambda _: None):
        thread.start()
        assert waiting.wait(30)
        assert not done.is_set()
    thread.join(30)
    assert done.is_set()


def test_results_come_in_the_order_of_the_things() -> None:
    assert each(lambda n: n * n, range(20), workers=4, stop=Flag()) == [n * n for n in range(20)]


def test_the_first_that_fails_ends_the_others() -> None:
    begun: list[int] = []
    stop = Flag()

    def act(number: int) -> None:
        begun.append(number)
        if number == 0:
            text = "no"
            raise ValueError(text)
        if stop.wait(30):
            raise Cancelled

    with pytest.raises(ValueError, match="no"):
        each(act, range(50), workers=2, stop=stop)
    assert len(begun) < 10


def test_things_that_end_badly_end_the_others() -> None:
    stop = Flag()

    def things() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        each(lambda _: stop.wait(30), things(), workers=2, stop=stop)
    assert stop.is_set()
