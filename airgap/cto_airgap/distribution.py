"""A bundle as the storage of a CNCF Distribution registry, without a second copy of any blob.

Distribution keeps two trees: blobs by digest, and per repository small files that say which of
them belong to it. Here the blobs are symbolic links to the layout's: hard links need one file
system, and in a container, across image layers, they make copies after all.
https://github.com/distribution/distribution/blob/v3.0.0/registry/storage/paths.go
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cto_airgap.bundle import Tree, open_whole
from cto_airgap.contents import Item, ItemKind
from cto_airgap.layout import Layout
from cto_airgap.oci import Descriptor, Digest, algorithm_of, hex_of
from cto_airgap.reference import parse_reference

_V2 = Path("docker", "registry", "v2")
_DRAIN = "5s"


@dataclass(frozen=True, kw_only=True)
class RegistryStorage:
    """A storage that was made.

    Attributes:
        digest: Of the bundle.
        repositories: Names of what can be pulled.
        size: Bytes of all blobs.
    """

    digest: Digest
    repositories: tuple[str, ...]
    size: int


def store(bundle: Path, root: Path) -> RegistryStorage:
    """Write the storage of a registry that serves a bundle to an empty folder.

    No blob is hashed: whoever pulls one does that. One that lacks bytes is found here.

    Raises:
        IntegrityError: CTO-1811, there is no bundle; CTO-1810, files are missing or cut off.
    """
    layout = Layout(bundle.absolute())
    trees = open_whole(layout)
    blobs = {digest: blob for tree in trees for digest, blob in tree.all.items()}
    for digest in blobs:
        _link(_blob(root / _V2, digest), layout.blob(digest))
    for tree in trees:
        _write(root / _V2, tree)
    return RegistryStorage(
        digest=layout.digest(),
        repositories=tuple(sorted({repository_of(tree.item)[0] for tree in trees})),
        size=sum(blob.size for blob in blobs.values()),
    )


def repository_of(item: Item) -> tuple[str, str]:
    """Return repository and tag of an item: `docker.io/library/nats` and `2.10.10`.

    The tag is '' if upstream's reference has none. A port is no part of a repository's name.
    """
    if item.kind is ItemKind.CHART:
        repository, _, tag = item.name.partition(":")
        return repository, tag
    found = parse_reference(item.name)
    return f"{prefix_of(found.host)}/{found.repository}", found.tag


def prefix_of(host: str) -> str:
    """Return what the images of an upstream host have in front of their names."""
    return host.replace(":", "-").lower()


def configuration(root: Path, listen: str) -> dict[str, Any]:
    """Return the configuration of a registry that serves a storage and changes nothing in it."""
    return {
        "version": "0.1",
        # Every answer with its number of bytes: what was sent to whom can be counted.
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "cache": {"blobdescriptor": "inmemory"},
            "delete": {"enabled": False},
            "maintenance": {
                "readonly": {"enabled": True},
                "uploadpurging": {"enabled": False},
            },
        },
        "http": {"addr": listen, "draintimeout": _DRAIN},
    }


def _write(root: Path, tree: Tree) -> None:
    """Write what a repository knows about one of its images."""
    name, tag = repository_of(tree.item)
    folder = root / "repositories" / name
    for document in tree.documents:
        _point(folder / "_manifests" / "revisions", document.descriptor)
    for blob in tree.blobs.values():
        _point(folder / "_layers", blob)
    if tag:
        tags = folder / "_manifests" / "tags" / tag
        _point(tags / "index", tree.root.descriptor)
        _put(tags / "current" / "link", tree.root.digest)


def _point(folder: Path, target: Descriptor) -> None:
    digest = target.digest
    _put(folder / algorithm_of(digest) / hex_of(digest) / "link", digest)


def _put(path: Path, digest: Digest) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(digest, encoding="ascii")


def _blob(root: Path, digest: Digest) -> Path:
    value = hex_of(digest)
    return root / "blobs" / algorithm_of(digest) / value[:2] / value / "data"


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
