"""Makes a bundle out of a resolved lock: the same lock and platform give the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import TypeVar

from cto.errors import IntegrityError, ToolError
from cto_airgap.bundle import Tree, open_item
from cto_airgap.contents import Contents, Item, ItemKind
from cto_airgap.layout import Layout, WrongBytesError
from cto_airgap.oci import (
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Document,
    ImagePlatform,
    parse_digest,
    to_bytes,
)
from cto_airgap.reference import Reference
from cto_airgap.sources import ImageSource, platform_of
from cto_airgap.transfers import Counter, Listener, each

# https://helm.sh/docs/topics/registries/#helm-chart-manifest
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

WORKERS = 6

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, order=True)
class WantedImage:
    """An image, by the name that it keeps, and the digest that the lock has for it."""

    reference: Reference
    digest: str

    @property
    def pinned(self) -> Reference:
        return self.reference.at(parse_digest(self.digest))


@dataclass(frozen=True, order=True)
class WantedChart:
    """A chart; `sha256` is that of its archive, in hex."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class WantedBundle:
    """Everything that goes into a bundle."""

    platform: ImagePlatform
    profile: str = ""
    images: tuple[WantedImage, ...] = ()
    charts: tuple[WantedChart, ...] = ()

    def check_resolved(self) -> None:
        """Make sure that everything has a digest.

        Raises:
            IntegrityError: CTO-1801, with the names of what has none.
        """
        lacking = [str(one.reference) for one in self.images if not _is_digest(one.digest)]
        lacking += [f"chart {c.name}" for c in self.charts if not _is_digest(f"sha256:{c.sha256}")]
        if lacking:
            text = f"{len(lacking)} of the bundle's parts have no digest"
            hint = "Resolve them where the registries can be reached: `cto bundle lock`."
            raise IntegrityError("CTO-1801", text, details="\n".join(lacking), hint=hint)


def _is_digest(text: str) -> bool:
    try:
        parse_digest(text)
    except ValueError:
        return False
    return True


ChartFiles = Callable[[WantedChart], Path]
"""Returns the archive of a chart."""


def chart_name(chart: WantedChart) -> str:
    """Return a chart's name in a bundle; a tag has no plus sign, and Helm writes it so."""
    return f"charts/{chart.name}:{chart.version.replace('+', '_')}"


def add_chart(layout: Layout, chart: WantedChart, path: Path) -> Item:
    """Put a chart into a layout.

    Raises:
        IntegrityError: CTO-1800, the file is not the one that is pinned.
    """
    content = Descriptor(
        media_type=CHART_CONTENT,
        digest=Digest(f"sha256:{chart.sha256}"),
        size=path.stat().st_size,
        annotations={"org.opencontainers.image.title": f"{chart.name}-{chart.version}.tgz"},
    )
    try:
        layout.take(path, content)
    except WrongBytesError as error:
        text = f"{path.name} has the wrong sha256"
        raise IntegrityError("CTO-1800", text, details=str(error)) from None
    config = {"apiVersion": "v2", "name": chart.name, "version": chart.version}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": layout.add(to_bytes(config), CHART_CONFIG).to_json(),
        "layers": [content.to_json()],
        "annotations": {
            "org.opencontainers.image.title": chart.name,
            "org.opencontainers.image.version": chart.version,
        },
    }
    descriptor = layout.add(to_bytes(manifest), OCI_MANIFEST)
    return Item(name=chart_name(chart), kind=ItemKind.CHART, descriptor=descriptor)


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

    def build(self, wanted: WantedBundle, folder: Path) -> Built:
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

    def _fill(self, wanted: WantedBundle, layout: Layout) -> Built:
        charts = self._each(
            lambda chart: add_chart(layout, chart, self._chart_files(chart)), wanted.charts
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

    def _describe(self, layout: Layout, wanted: WantedBundle, image: WantedImage) -> Item:
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
        return Item(name=name, kind=ItemKind.IMAGE, descriptor=root.descriptor, absent=absent)

    def _document(
        self, layout: Layout, reference: Reference, known: Descriptor | None = None
    ) -> Document:
        if known and layout.holds(known):
            return layout.document(known)
        found = self._registry.manifest(reference)
        layout.put(found.data, found.descriptor)
        return found

    def _fetch_all(self, layout: Layout, wanted: WantedBundle, trees: Iterable[Tree]) -> int:
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
