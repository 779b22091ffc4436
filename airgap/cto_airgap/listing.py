"""What a bundle holds, and what another one would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cto_airgap.contents import Kind
from cto_airgap.descriptor import Platform
from cto_airgap.digest import Digest
from cto_airgap.layout import Layout
from cto_airgap.tree import Tree, open_item


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image or chart.

    Attributes:
        digest: Of its index, or of its manifest.
        manifest: What a node runs: the manifest of the bundle's platform.
        size: Bytes of everything that belongs to it.
    """

    name: str
    kind: Kind
    digest: Digest
    manifest: Digest
    size: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A bundle.

    Attributes:
        digest: Of the bundle.
        size: Bytes of all blobs; what several images share counts once.
    """

    digest: Digest
    platform: Platform
    entries: tuple[Entry, ...]
    size: int

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind is kind)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is different between two bundles.

    Attributes:
        changed: The same name, another digest; as it was, and as it is.
        new_layers: Bytes of layers that the old one does not have: what an update transfers.
        gone_layers: Bytes of layers that the new one does not have.
        grown: Bytes of all blobs, new minus old.
    """

    old: Digest
    new: Digest
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[tuple[Entry, Entry], ...]
    new_layers: int
    gone_layers: int
    grown: int


def listing(folder: Path) -> Listing:
    """Return what a bundle holds.

    Raises:
        IntegrityError: CTO-1810, a document is damaged; CTO-1811, there is no bundle.
    """
    return _listing(Layout(folder), _trees(folder))


def difference(old: Path, new: Path) -> Difference:
    """Return what a bundle has and another one has not.

    Raises:
        IntegrityError: CTO-1810, a document is damaged; CTO-1811, there is no bundle.
    """
    trees = _trees(old), _trees(new)
    was, becomes = _listing(Layout(old), trees[0]), _listing(Layout(new), trees[1])
    before = {entry.name: entry for entry in was.entries}
    after = {entry.name: entry for entry in becomes.entries}
    both = [(before[name], after[name]) for name in before if name in after]
    layers = _layers(trees[0]), _layers(trees[1])
    return Difference(
        old=was.digest,
        new=becomes.digest,
        added=tuple(entry for name, entry in after.items() if name not in before),
        removed=tuple(entry for name, entry in before.items() if name not in after),
        changed=tuple((one, other) for one, other in both if one.digest != other.digest),
        new_layers=_beyond(layers[1], layers[0]),
        gone_layers=_beyond(layers[0], layers[1]),
        grown=becomes.size - was.size,
    )


def _trees(folder: Path) -> tuple[Tree, ...]:
    layout = Layout(folder)
    return tuple(open_item(layout, item) for item in layout.contents().items)


def _listing(layout: Layout, trees: Iterable[Tree]) -> Listing:
    found = {digest: blob.size for tree in trees for digest, blob in tree.all.items()}
    return Listing(
        digest=layout.digest(),
        platform=layout.contents().platform,
        entries=tuple(_entry(tree) for tree in trees),
        size=sum(found.values()),
    )


def _entry(tree: Tree) -> Entry:
    return Entry(
        name=tree.item.name,
        kind=tree.item.kind,
        digest=tree.root.digest,
        manifest=tree.manifests[0].digest,
        size=sum(blob.size for blob in tree.all.values()),
    )


def _layers(trees: Iterable[Tree]) -> dict[Digest, int]:
    return {digest: blob.size for tree in trees for digest, blob in tree.layers.items()}


def _beyond(some: Mapping[Digest, int], others: Mapping[Digest, int]) -> int:
    return sum(size for digest, size in some.items() if digest not in others)
