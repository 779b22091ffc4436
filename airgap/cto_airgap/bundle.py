"""A bundle as it is read: what its items consist of, what it holds, what another one changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cto.errors import IntegrityError
from cto.ports import Chart
from cto_airgap.contents import Contents, Item, ItemKind
from cto_airgap.layout import Layout
from cto_airgap.oci import Descriptor, Digest, Document, ImagePlatform, digest_of_file, hex_of
from cto_airgap.reference import parse_reference

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


@dataclass(frozen=True, kw_only=True)
class BundleEntry:
    """One image or chart.

    Attributes:
        digest: Of its index, or of its manifest.
        manifest: What a node runs: the manifest of the bundle's platform.
        size: Bytes of everything that belongs to it.
    """

    name: str
    kind: ItemKind
    digest: Digest
    manifest: Digest
    size: int


@dataclass(frozen=True, kw_only=True)
class BundleListing:
    """A bundle.

    Attributes:
        digest: Of the bundle.
        size: Bytes of all blobs; what several images share counts once.
    """

    digest: Digest
    platform: ImagePlatform
    entries: tuple[BundleEntry, ...]
    size: int

    def of(self, kind: ItemKind) -> tuple[BundleEntry, ...]:
        return tuple(entry for entry in self.entries if entry.kind is kind)


@dataclass(frozen=True, kw_only=True)
class BundleDifference:
    """What is different between two bundles.

    Attributes:
        changed: The same name, another digest; as it was, and as it is.
        new_layers: Bytes of layers that the old one does not have: what an update transfers.
        gone_layers: Bytes of layers that the new one does not have.
        grown: Bytes of all blobs, new minus old.
    """

    old: Digest
    new: Digest
    added: tuple[BundleEntry, ...]
    removed: tuple[BundleEntry, ...]
    changed: tuple[tuple[BundleEntry, BundleEntry], ...]
    new_layers: int
    gone_layers: int
    grown: int


def listing(folder: Path) -> BundleListing:
    """Return what a bundle holds.

    Raises:
        IntegrityError: CTO-1810, a document is damaged; CTO-1811, there is no bundle.
    """
    return _listing(Layout(folder), _trees(folder))


def difference(old: Path, new: Path) -> BundleDifference:
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
    return BundleDifference(
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


def _listing(layout: Layout, trees: Iterable[Tree]) -> BundleListing:
    found = {digest: blob.size for tree in trees for digest, blob in tree.all.items()}
    return BundleListing(
        digest=layout.digest(),
        platform=layout.contents().platform,
        entries=tuple(_entry(tree) for tree in trees),
        size=sum(found.values()),
    )


def _entry(tree: Tree) -> BundleEntry:
    return BundleEntry(
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


class BundleSource:
    """A bundle that charts and images come from. Its index is read once, when it is needed.

    Every method raises IntegrityError: CTO-1811 if the folder holds no bundle.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._layout = Layout(folder)

    @cached_property
    def contents(self) -> Contents:
        return self._layout.contents()

    @cached_property
    def digest(self) -> Digest:
        return self._layout.digest()

    @property
    def platform(self) -> ImagePlatform:
        return self.contents.platform

    @property
    def profile(self) -> str:
        return self.contents.profile

    @property
    def has_images(self) -> bool:
        """Tell whether it has any; without, it is a folder of charts."""
        return bool(self.contents.images)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The upstream hosts of its images, sorted."""
        return tuple(sorted({parse_reference(one.name).host for one in self.contents.images}))

    def check(self) -> None:
        """See that no file of it is missing or cut off; none is hashed.

        Raises:
            IntegrityError: CTO-1810, naming the files.
        """
        open_whole(self._layout)

    def image(self, reference: str) -> Item | None:
        """Return an image by upstream's name; the one with that digest, if the name has one."""
        wanted = parse_reference(reference)
        for item in self.contents.images:
            found = parse_reference(item.name)
            if found.name != wanted.name:
                continue
            by_digest = wanted.digest and self._has(item, wanted.digest)
            if by_digest or (not wanted.digest and found.tag == wanted.tag):
                return item
        return None

    def chart(self, name: str, version: str, sha256: str) -> Chart | None:
        """Return a chart: the one that is pinned; else the one of that name that was put in.

        A bundle may have been built of other charts than the pinned ones, and was told so.

        Raises:
            IntegrityError: CTO-1810, it is damaged.
        """
        found = [one for item in self.contents.charts if (one := self._chart(item)).name == name]
        pinned = [one for one in found if one.digest == sha256]
        same = [one for one in found if one.version == version]
        for chart in (*pinned, *same, *found):
            return self._checked(chart)
        return None

    def _has(self, item: Item, digest: Digest) -> bool:
        """Tell whether a digest is that of the image, or of its manifest for the platform."""
        tree = open_item(self._layout, item)
        return digest in {document.digest for document in tree.documents}

    def _chart(self, item: Item) -> Chart:
        content = self._content(item)
        name, _, tag = item.name.removeprefix("charts/").partition(":")
        return Chart(
            name=name,
            version=tag.replace("_", "+"),
            path=self._layout.blob(content.digest),
            digest=hex_of(content.digest),
        )

    def _content(self, item: Item) -> Descriptor:
        """Return the archive of a chart, the only layer that it has."""
        return open_item(self._layout, item).manifests[0].blobs[1]

    def _checked(self, chart: Chart) -> Chart:
        try:
            right = hex_of(digest_of_file(chart.path)) == chart.digest
            detail = "wrong bytes"
        except OSError as error:
            right, detail = False, error.strerror or str(error)
        if not right:
            path = chart.path.relative_to(self.folder)
            details = f"{path}: {detail}, needed by charts/{chart.name}:{chart.version}"
            raise IntegrityError("CTO-1810", f"{self.folder} is damaged", details=details)
        return chart
