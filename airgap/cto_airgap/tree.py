"""From the name of an item down to its blobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cto.errors import IntegrityError
from cto_airgap.contents import Item
from cto_airgap.descriptor import Descriptor
from cto_airgap.digest import Digest
from cto_airgap.document import Document
from cto_airgap.layout import Layout

_NAMED = 10


@dataclass(frozen=True, kw_only=True)
class Tree:
    """An item with everything below it that a bundle holds.

    Attributes:
        root: Its index, or its manifest.
        manifests: Those of an index; else the root alone.
    """

    item: Item
    root: Document
    manifests: tuple[Document, ...]

    @property
    def documents(self) -> tuple[Document, ...]:
        """All of them, children first."""
        return (*self.manifests, self.root) if self.root.is_index else self.manifests

    @property
    def blobs(self) -> dict[Digest, Descriptor]:
        """Configurations and layers."""
        return {blob.digest: blob for found in self.manifests for blob in found.blobs}

    @property
    def layers(self) -> dict[Digest, Descriptor]:
        return {blob.digest: blob for found in self.manifests for blob in found.blobs[1:]}

    @property
    def all(self) -> dict[Digest, Descriptor]:
        """Everything, documents included."""
        return {found.digest: found.descriptor for found in self.documents} | self.blobs


def children(item: Item, root: Document) -> Iterator[Descriptor]:
    """Yield the manifests of an item that a bundle has to hold."""
    if root.is_index:
        yield from (child for child in root.children if child.digest not in item.absent)


def open_item(layout: Layout, item: Item) -> Tree:
    """Return what is below an item.

    Raises:
        IntegrityError: CTO-1810, a document is not there or damaged.
    """
    root = _document(layout, item, item.descriptor)
    found = tuple(_document(layout, item, child) for child in children(item, root))
    return Tree(item=item, root=root, manifests=found if root.is_index else (root,))


def _document(layout: Layout, item: Item, wanted: Descriptor) -> Document:
    try:
        return layout.document(wanted)
    except (OSError, ValueError) as error:
        path = layout.blob(wanted.digest).relative_to(layout.folder)
        details = f"{path}: {getattr(error, 'strerror', None) or error}, needed by {item.name}"
        text = f"{layout.folder} is damaged"
        raise IntegrityError("CTO-1810", text, details=details) from error


def open_whole(layout: Layout) -> list[Tree]:
    """Open everything that a bundle holds. No blob is hashed; one that lacks bytes is found.

    Raises:
        IntegrityError: CTO-1811, there is no bundle; CTO-1810, files are missing or cut off.
    """
    trees = [open_item(layout, item) for item in layout.contents().items]
    lacking: dict[Digest, list[str]] = {}
    for tree in trees:
        for digest, blob in tree.all.items():
            if not layout.has(blob):
                lacking.setdefault(digest, []).append(tree.item.name)
    if lacking:
        lines = [
            f"{layout.blob(digest).relative_to(layout.folder)}: missing or cut off, "
            f"needed by {', '.join(names[:_NAMED])}"
            for digest, names in sorted(lacking.items())
        ]
        text = f"{layout.folder} is damaged"
        raise IntegrityError("CTO-1810", text, details="\n".join(lines))
    return trees
