"""A bundle as somebody who installs from it sees it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from cto.errors import IntegrityError
from cto.ports import Chart
from cto_airgap import digest as digests
from cto_airgap import reference as references
from cto_airgap.contents import Contents, Item
from cto_airgap.descriptor import Descriptor, Platform
from cto_airgap.digest import Digest, hex_of
from cto_airgap.layout import Layout
from cto_airgap.tree import open_item, open_whole


class Source:
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
    def platform(self) -> Platform:
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
        return tuple(sorted({references.parse(one.name).host for one in self.contents.images}))

    def check(self) -> None:
        """See that no file of it is missing or cut off; none is hashed.

        Raises:
            IntegrityError: CTO-1810, naming the files.
        """
        open_whole(self._layout)

    def image(self, reference: str) -> Item | None:
        """Return an image by upstream's name; the one with that digest, if the name has one."""
        wanted = references.parse(reference)
        for item in self.contents.images:
            found = references.parse(item.name)
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
            right = hex_of(digests.of_file(chart.path)) == chart.digest
            detail = "wrong bytes"
        except OSError as error:
            right, detail = False, error.strerror or str(error)
        if not right:
            path = chart.path.relative_to(self.folder)
            details = f"{path}: {detail}, needed by charts/{chart.name}:{chart.version}"
            raise IntegrityError("CTO-1810", f"{self.folder} is damaged", details=details)
        return chart
