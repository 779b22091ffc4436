"""Makes a bundle out of a resolved lock: the same lock and platform give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import TypeVar

from cto.errors import ToolError
from cto_airgap import charts as charting
from cto_airgap.archive import ImageSource
from cto_airgap.charts import ChartFiles
from cto_airgap.contents import Contents, Item, Kind
from cto_airgap.descriptor import Descriptor
from cto_airgap.digest import Digest
from cto_airgap.document import Document
from cto_airgap.layout import Layout
from cto_airgap.parallel import each
from cto_airgap.progress import Counter, Listener
from cto_airgap.reference import Reference
from cto_airgap.resolve import platform_of
from cto_airgap.tree import Tree, open_item
from cto_airgap.wanted import Wanted, WantedImage

WORKERS = 6

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Built:
    """A bundle that was made.

    Attributes:
        digest: Of the bundle.
        size: Bytes of all blobs.
        fetched: Bytes of the blobs that were not there before.
    """

    digest: Digest
    contents: Contents
    size: int
    fetched: int


@dataclass(frozen=True)
class _Blob:
    """A blob to fetch, and one of the images that have it."""

    reference: Reference
    descriptor: Descriptor


class Builder:
    """Makes bundles.

    Args:
        registry: Where images come from.
        chart_files: Where charts come from.
        stop: Ends a build; set by the build itself as soon as one of its parts fails.
        workers: How many transfers at once.
        progress: Hears of every transfer.
        notice: Hears of everything else.
    """

    def __init__(
        self,
        registry: ImageSource,
        chart_files: ChartFiles,
        *,
        stop: Flag,
        workers: int = WORKERS,
        progress: Listener = lambda _: None,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._chart_files = chart_files
        self._stop = stop
        self._workers = workers
        self._progress = progress
        self._notice = notice

    def build(self, wanted: Wanted, folder: Path) -> Built:
        """Make a bundle in a folder, go on with one, or change it into another one.

        Killed at any moment, the same call goes on from there; the bundle that was there before
        stays what it was until the new one is complete.

        Raises:
            IntegrityError: CTO-1801, something has no digest; CTO-1800, a registry or file has
                other bytes than those of the digest.
            ToolError: CTO-1510 to 1514, a registry does not give what is wanted.
            UsageError: CTO-1200, the folder holds something else.
            Cancelled: `stop` was set by others.
        """
        wanted.check_resolved()
        layout = Layout(folder)
        with layout.alone(self._notice):
            layout.check_is_ours()
            return self._fill(wanted, layout)

    def _fill(self, wanted: Wanted, layout: Layout) -> Built:
        charts = self._each(
            lambda chart: charting.add(layout, chart, self._chart_files(chart)), wanted.charts
        )
        images = self._each(lambda image: self._describe(layout, wanted, image), wanted.images)
        items = sorted([*charts, *images], key=lambda item: item.name)
        contents = Contents(platform=wanted.platform, profile=wanted.profile, items=tuple(items))
        trees = [open_item(layout, item) for item in contents.items]
        fetched = self._fetch_all(layout, wanted, trees)
        found = {key: blob for tree in trees for key, blob in tree.all.items()}
        return Built(
            digest=layout.finish(contents, found.keys()),
            contents=contents,
            size=sum(blob.size for blob in found.values()),
            fetched=fetched,
        )

    def _describe(self, layout: Layout, wanted: Wanted, image: WantedImage) -> Item:
        """Bring the documents of an image; tell which of its manifests are not for us."""
        root = self._document(layout, image.pinned)
        if root.is_index:
            child = root.child_for(wanted.platform)
            absent = frozenset(one.digest for one in root.children if one != child)
            if child:
                self._document(layout, image.reference.at(child.digest), child)
        else:
            own = platform_of(self._registry, image.pinned, root)
            child = root.descriptor if own == wanted.platform.plain else None
            absent = frozenset()
        if not child:
            text = f"{image.reference} is not there for {wanted.platform}"
            raise ToolError("CTO-1513", text, details=_platforms(root))
        name = str(image.reference)
        return Item(name=name, kind=Kind.IMAGE, descriptor=root.descriptor, absent=absent)

    def _document(
        self, layout: Layout, reference: Reference, known: Descriptor | None = None
    ) -> Document:
        if known and layout.holds(known):
            return layout.document(known)
        found = self._registry.manifest(reference)
        layout.put(found.data, found.descriptor)
        return found

    def _fetch_all(self, layout: Layout, wanted: Wanted, trees: Iterable[Tree]) -> int:
        """Fetch each blob once, whoever has it; return how many bytes were missing."""
        references = {str(image.reference): image.reference for image in wanted.images}
        missing = _missing(layout, references, trees)
        total = sum(blob.descriptor.size for blob in missing)
        counter = Counter(total, self._progress)

        def fetch(blob: _Blob) -> None:
            with layout.part(blob.descriptor) as part:
                self._registry.fetch(blob.reference, blob.descriptor, part)
            counter.add(str(blob.reference), blob.descriptor.size)

        # The largest first, or the last one holds up the rest of the workers.
        self._each(fetch, sorted(missing, key=lambda blob: -blob.descriptor.size))
        return total

    def _each(self, action: Callable[[T], R], things: Iterable[T]) -> list[R]:
        return each(action, things, workers=self._workers, stop=self._stop)


def _missing(
    layout: Layout, references: Mapping[str, Reference], trees: Iterable[Tree]
) -> list[_Blob]:
    found: dict[Digest, _Blob] = {}
    for tree in trees:
        reference = references.get(tree.item.name)
        if reference:
            for digest, blob in tree.blobs.items():
                found.setdefault(digest, _Blob(reference, blob))
    return [blob for blob in found.values() if not layout.holds(blob.descriptor)]


def _platforms(root: Document) -> str:
    known = {str(one.platform) for one in root.children if one.platform and one.platform.is_real}
    return f"it is there for {', '.join(sorted(known))}" if known else ""
