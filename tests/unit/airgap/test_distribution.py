"""A bundle becomes the storage of a registry: links, and no second copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto.errors import IntegrityError
from cto_airgap.bundle import BundleSource, open_item
from cto_airgap.contents import Item, ItemKind
from cto_airgap.distribution import configuration, repository_of, store
from cto_airgap.layout import Layout
from cto_airgap.oci import OCI_INDEX, Descriptor, Digest, hex_of
from unit.airgap.world import HOST, World

DIGEST = Digest("sha256:" + "ab" * 32)


def item(name: str, kind: ItemKind = ItemKind.IMAGE) -> Item:
    found = Descriptor(media_type=OCI_INDEX, digest=DIGEST, size=1)
    return Item(name=name, kind=kind, descriptor=found)


@pytest.fixture
def root(world: World) -> Path:
    world.build()
    return world.folder / "storage"


def test_what_was_stored_is_told(world: World, root: Path) -> None:
    stored = store(world.bundle, root)
    assert stored.digest == Layout(world.bundle).digest()
    assert stored.repositories == ("charts/thing", f"{HOST}/team/one", f"{HOST}/two")
    blobs = [path for path in (world.bundle / "blobs").rglob("*") if path.is_file()]
    assert stored.size == sum(path.stat().st_size for path in blobs)


def test_every_blob_is_a_link_to_the_layouts(world: World, root: Path) -> None:
    store(world.bundle, root)
    links = {path.parent.name: path for path in root.glob("docker/registry/v2/blobs/*/*/*/data")}
    layout = Layout(world.bundle.absolute())
    names = {path.name for path in (world.bundle / "blobs" / "sha256").iterdir()}
    assert links.keys() == names
    for value, link in links.items():
        assert link.parent.parent.name == value[:2]
        assert link.is_symlink()
        assert link.readlink() == layout.blob(Digest(f"sha256:{value}"))


def test_a_repository_knows_its_manifests_its_tag_and_its_blobs(world: World, root: Path) -> None:
    store(world.bundle, root)
    layout = Layout(world.bundle)
    found = next(one for one in layout.contents().items if "team/one" in one.name)
    tree = open_item(layout, found)
    folder = root / "docker/registry/v2/repositories" / HOST / "team/one"
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("link")}
    manifests = {
        f"_manifests/revisions/sha256/{hex_of(one.digest)}/link": one.digest
        for one in tree.documents
    }
    layers = {f"_layers/sha256/{hex_of(digest)}/link": digest for digest in tree.blobs}
    tags = {
        "_manifests/tags/1.0/current/link": world.one.root,
        f"_manifests/tags/1.0/index/sha256/{hex_of(world.one.root)}/link": world.one.root,
    }
    assert files == {**manifests, **layers, **tags}
    assert len(manifests) == 2, "the index and the manifest of the bundle's platform, no other"


def test_a_bundle_that_lacks_bytes_is_refused(world: World, root: Path) -> None:
    """Before anything is served: the file is named, and who needs it."""
    layout = Layout(world.bundle)
    layer = max((layout.folder / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1])
    with pytest.raises(IntegrityError) as caught:
        store(world.bundle, root)
    with pytest.raises(IntegrityError) as before:
        BundleSource(world.bundle).check()
    assert before.value.details == caught.value.details
    assert caught.value.code == "CTO-1810"
    assert caught.value.details == (
        f"blobs/sha256/{layer.name}: missing or cut off, needed by {HOST}/team/one:1.0, "
        f"{HOST}/two:2.0"
    )
    assert not root.exists()


def test_a_folder_without_a_bundle_is_none(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        store(tmp_path, tmp_path / "storage")
    assert caught.value.code == "CTO-1811"


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (item("docker.io/library/nats:2.10.10"), ("docker.io/library/nats", "2.10.10")),
        (item(f"quay.io/a/b@{DIGEST}"), ("quay.io/a/b", "")),
        (item("Registry.local:5000/a:1"), ("registry.local-5000/a", "1")),
        (item("charts/thing:0.1.0_build", ItemKind.CHART), ("charts/thing", "0.1.0_build")),
    ],
)
def test_repositories_begin_with_the_upstream_host(found: Item, name: tuple[str, str]) -> None:
    assert repository_of(found) == name


def test_the_registry_changes_nothing_and_says_what_it_sends(tmp_path: Path) -> None:
    found = configuration(tmp_path, ":5000")
    storage = found["storage"]
    assert storage["filesystem"] == {"rootdirectory": str(tmp_path)}
    assert storage["maintenance"]["readonly"] == {"enabled": True}
    assert storage["delete"] == {"enabled": False}
    assert found["http"]["addr"] == ":5000"
    assert (found["log"]["formatter"], found["log"]["level"]) == ("json", "info")
