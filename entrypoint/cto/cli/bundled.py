"""What a bundle gives to an installation and lacks, and the image that has what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cto.adapters.host import Host
from cto.catalog import Component
from cto.cli.settings import CommandSettings
from cto.engine.cache import Lacking, nothing_lacks
from cto.errors import CtoError
from cto.objects import dump_yaml, load_yaml
from cto.ports import Chart
from cto.providers import is_in_docker
from cto.result import Check, Topic

if TYPE_CHECKING:
    from cto.adapters.docker import Engine
    from cto.plan.desired import DesiredState
    from cto_airgap.bundle import BundleSource

_OWN_IMAGES = Topic("own_images", "Images of cto itself")
UNKNOWN = "IMAGE"
# `cto bundle image` writes it into the image: what Docker called it then.
VARIABLE = "CTO_IMAGE_NAME"
_INSTEAD = (
    "The bundle {folder} is of profile {held}; what feature {features} needs is in that of profile "
    "{profiles}.\n"
    "Run that image: {image}\n"
    "or make it: make image PROFILE={profile} (a bundle alone: cto bundle build --profile "
    "{profile} --out DIR, then --bundle DIR)\n"
    "or do without: {off}"
)


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


@dataclass(frozen=True, kw_only=True)
class BundleAdvice:
    """Says what a bundle lacks, and which one has it.

    Attributes:
        docker: It may know what our own image was called when it was run.
        components: Returns all components.
    """

    settings: CommandSettings
    host: Host
    docker: Callable[[], Engine]
    components: Callable[[], Sequence[Component]]

    def lacking(self, provider: str) -> Lacking:
        """Return what says that nodes cannot have an image, because the bundle lacks it."""
        source = self.settings.images
        # Nodes of a cluster that somebody else made get their images as they always did.
        if source is None or not (is_in_docker(provider) and self.settings.air_gapped):
            return nothing_lacks
        return partial(self._lacks, source)

    def _lacks(self, source: BundleSource, image: str) -> str:
        told = lacks(source, self.components(), image)
        better = self.instead(_needing(self.components(), image)) if told else ""
        return f"{told}. {better}" if better else told

    def image_name(self) -> str:
        """Return what to call our own image in a command line; `IMAGE` if nobody knows.

        Docker knows what it was called when it was run, from a registry perhaps; the image itself
        only what it was made as.
        """
        env = self.settings.env
        return env.get("CTO_IMAGE", "") or self._run_as() or env.get(VARIABLE, "") or UNKNOWN

    def _run_as(self) -> str:
        if not (self.host.in_container and self.settings.has_docker):
            return ""
        # A Docker that does not answer is told by whoever needs it.
        with suppress(CtoError):
            own = self.docker().own()
            if own and not own.image.startswith("sha256:"):
                return own.image
        return ""

    def instead(self, components: Iterable[Component]) -> str:
        """Say which bundle has what ours lacks, and how to get it; '' without a bundle.

        Args:
            components: What is lacking is theirs.
        """
        source = self.settings.source
        if source is None or not source.profile:
            return ""
        wanted = {component.feature for component in components if component.feature}
        having = [p for p in _having(self.settings.profiles, wanted) if p != source.profile]
        if not wanted or not having:
            return ""
        features, others = ", ".join(sorted(wanted)), " or ".join(having)
        off = " ".join(f"features.{feature}: false" for feature in sorted(wanted))
        return _INSTEAD.format(
            folder=source.folder,
            held=source.profile,
            features=features,
            profiles=others,
            image=_sibling(self.image_name(), source.profile, having[0]),
            profile=having[0],
            off=off,
        )


def checks(desired: DesiredState) -> tuple[Check, ...]:
    """Warn of images of this project that no registry has which the cluster pulls from."""
    names = [
        image.reference
        for item in desired.components
        for image in item.component.images
        if image.ours and item.relocation is None and image.reference in dump_yaml(item.values)
    ]
    if not names:
        return ()
    return (
        _OWN_IMAGES.warning(
            f"{' and '.join(names)}: no public registry has them, so nodes have to",
            fix="Push a bundle to a registry of yours, and name that: docs/private-registry.md. Or "
            "name other images: components.controller.values.image, agents.NAME.image.",
        ),
    )


def _sibling(image: str, held: str, wanted: str) -> str:
    """Return what our image is called with another profile's bundle, as `make image` names them."""
    plain = image.partition("@")[0]
    base = plain.removesuffix(f"-{held}")
    return f"the image of cto with profile {wanted}" if base == plain else f"{base}-{wanted}"


def _having(profiles: Path, features: set[str]) -> list[str]:
    """Return the profiles with all of the features, the smallest first."""
    found: list[tuple[int, str]] = []
    for file in profiles.glob("*.yaml"):
        profile: Mapping[str, Mapping[str, bool]] = load_yaml(file.read_text(encoding="utf-8"))
        if all(profile["features"].get(feature) for feature in features):
            found.append((int(str(profile["cpu"])), file.stem))
    return [name for _, name in sorted(found)]
