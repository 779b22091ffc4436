"""Charts out of a bundle, for an installation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cto.catalog import Component
from cto.cli import ownimage
from cto.engine.cache import nothing_lacks
from cto.ports import Chart

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring
    from cto_airgap.bundle import BundleSource


KIND = "kind"


class BundledCharts:
    """Finds charts in a bundle, and says so once if one is not the pinned one.

    Args:
        source: The bundle; None has no charts.
        notice: Told.
    """

    def __init__(self, source: BundleSource | None, notice: Callable[[str], None]) -> None:
        self._source = source
        self._notice = notice
        self._found: dict[str, Chart | None] = {}

    def find(self, name: str, version: str, sha256: str) -> Chart | None:
        """Return a chart, None if the bundle has none of that name."""
        if not self._source:
            return None
        if name not in self._found:
            found = self._source.chart(name, version, sha256)
            self._found[name] = found
            if found and found.digest != sha256:
                text = f"chart {name} {found.version} of the bundle is not the one that is pinned"
                self._notice(text)
        return self._found[name]


def lacking(wiring: Wiring, provider: str) -> Callable[[str], str]:
    """Return what says that nodes cannot have an image, because the bundle lacks it."""
    source = wiring.source
    # Nodes of a cluster that somebody else made get their images as they always did.
    if provider != KIND or not (source and source.has_images and wiring.air_gapped):
        return nothing_lacks
    return lambda image: _lacks_and_instead(wiring, source, image)


def _lacks_and_instead(wiring: Wiring, source: BundleSource, image: str) -> str:
    components = wiring.catalog.components
    told = lacks(source, components, image)
    better = ownimage.instead(wiring, _needing(components, image)) if told else ""
    return f"{told}. {better}" if better else told


def lacks(source: BundleSource, components: Iterable[Component], image: str) -> str:
    """Say that a bundle lacks an image, and who needs it; '' if it has it.

    Args:
        source: The bundle.
        components: All components.
        image: As a pod names it.
    """
    try:
        if source.image(image):
            return ""
    except ValueError:
        return ""
    titles = [component.title for component in _needing(components, image)]
    who = f" (component {', '.join(titles)})" if titles else ""
    profile = f" of profile {source.profile}" if source.profile else ""
    return f"image not in bundle{profile}: {image}{who}"


def _needing(components: Iterable[Component], image: str) -> list[Component]:
    from cto_airgap.reference import parse_reference  # noqa: PLC0415 - most installers have no bundle

    wanted = parse_reference(image).name
    return [c for c in components if any(parse_reference(i.ref).name == wanted for i in c.images)]


def described(source: BundleSource, folder: Path) -> str:
    """Return one line about a bundle."""
    what = "charts and images" if source.has_images else "charts"
    profile = f"profile {source.profile}, " if source.profile else ""
    return f"{what} come from {folder}: {profile}{source.platform}, {source.digest}"
