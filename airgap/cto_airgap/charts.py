"""Charts as OCI artifacts, as `helm push` makes them: helm, crane and oras read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cto.errors import IntegrityError
from cto_airgap.contents import Item, Kind
from cto_airgap.descriptor import OCI_MANIFEST, Descriptor
from cto_airgap.digest import Digest
from cto_airgap.document import to_bytes
from cto_airgap.layout import Layout
from cto_airgap.part import WrongBytesError
from cto_airgap.wanted import WantedChart

# https://helm.sh/docs/topics/registries/#helm-chart-manifest
CONFIG = "application/vnd.cncf.helm.config.v1+json"
CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

ChartFiles = Callable[[WantedChart], Path]
"""Returns the archive of a chart."""


def name_of(chart: WantedChart) -> str:
    """Return a chart's name in a bundle; a tag has no plus sign, and Helm writes it so."""
    return f"charts/{chart.name}:{chart.version.replace('+', '_')}"


def add(layout: Layout, chart: WantedChart, path: Path) -> Item:
    """Put a chart into a layout.

    Raises:
        IntegrityError: CTO-1800, the file is not the one that is pinned.
    """
    content = Descriptor(
        media_type=CONTENT,
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
        "config": layout.add(to_bytes(config), CONFIG).to_json(),
        "layers": [content.to_json()],
        "annotations": {
            "org.opencontainers.image.title": chart.name,
            "org.opencontainers.image.version": chart.version,
        },
    }
    descriptor = layout.add(to_bytes(manifest), OCI_MANIFEST)
    return Item(name=name_of(chart), kind=Kind.CHART, descriptor=descriptor)
