"""What a bundle gives to an installation and lacks, and the image that has what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cto.catalog import Component
from cto.objects import dump_yaml, load_yaml
from cto.ports import Chart
from cto.result import Check, Topic

if TYPE_CHECKING:
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
    titles = [component.title for component in needing(components, image)]
    who = f" (component {', '.join(titles)})" if titles else ""
    profile = f" of profile {source.profile}" if source.profile else ""
    return f"image not in bundle{profile}: {image}{who}"


def needing(components: Iterable[Component], image: str) -> list[Component]:
    from cto_airgap.reference import parse_reference  # noqa: PLC0415 - most installers have no bundle

    wanted = parse_reference(image).name
    return [c for c in components if any(parse_reference(i.ref).name == wanted for i in c.images)]


def described(source: BundleSource, folder: Path) -> str:
    """Return one line about a bundle."""
    what = "charts and images" if source.has_images else "charts"
    profile = f"profile {source.profile}, " if source.profile else ""
    return f"{what} come from {folder}: {profile}{source.platform}, {source.digest}"


def lacking(
    source: BundleSource,
    components: Sequence[Component],
    instead_of: Callable[[Iterable[Component]], str],
    image: str,
) -> str:
    """Say that nodes cannot have an image, because the bundle lacks it, and which one has it."""
    told = lacks(source, components, image)
    better = instead_of(needing(components, image)) if told else ""
    return f"{told}. {better}" if better else told


def image_name(env: Mapping[str, str], run_as: Callable[[], str]) -> str:
    """Return what to call our own image in a command line; `IMAGE` if nobody knows.

    Docker knows what it was called when it was run (`run_as`), from a registry perhaps; the image
    itself only what it was made as.
    """
    return env.get("CTO_IMAGE", "") or run_as() or env.get(VARIABLE, "") or UNKNOWN


def instead(
    source: BundleSource | None,
    components: Iterable[Component],
    profiles: Path,
    image: Callable[[], str],
) -> str:
    """Say which bundle has what ours lacks, and how to get it; '' without a bundle.

    Args:
        source: Our bundle.
        components: What is lacking is theirs.
        profiles: The folder of profiles.
        image: Returns what our own image is called.
    """
    if source is None or not source.profile:
        return ""
    wanted = {component.feature for component in components if component.feature}
    having = [p for p in _having(profiles, wanted) if p != source.profile]
    if not wanted or not having:
        return ""
    features, others = ", ".join(sorted(wanted)), " or ".join(having)
    off = " ".join(f"features.{feature}: false" for feature in sorted(wanted))
    return _INSTEAD.format(
        folder=source.folder,
        held=source.profile,
        features=features,
        profiles=others,
        image=_sibling(image(), source.profile, having[0]),
        profile=having[0],
        off=off,
    )


def checks(wish: DesiredState) -> tuple[Check, ...]:
    """Warn of images of this project that no registry has which the cluster pulls from."""
    names = [
        image.reference
        for item in wish.components
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
