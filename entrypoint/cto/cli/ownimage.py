"""The image of cto that this run is in, and the one that has what its bundle lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from cto.catalog import Component
from cto.errors import CtoError
from cto.objects import dump_yaml, load_yaml
from cto.result import Check, Topic

_OWN_IMAGES = Topic("own_images", "Images of cto itself")

if TYPE_CHECKING:
    from pathlib import Path

    from cto.cli.wiring import Wiring
    from cto.plan.desired import DesiredState

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


def name(wiring: Wiring) -> str:
    """Return what to call our own image in a command line; `IMAGE` if nobody knows.

    Docker knows what it was called when it was run, from a registry perhaps; the image itself only
    what it was made as.
    """
    given = wiring.env.get("CTO_IMAGE", "")
    return given or _run_as(wiring) or wiring.env.get(VARIABLE, "") or UNKNOWN


def _run_as(wiring: Wiring) -> str:
    from cto.cli.clusters import has_docker  # noqa: PLC0415 - it needs us, too

    if not (wiring.host.in_container and has_docker(wiring.env, wiring.docker_socket)):
        return ""
    # A Docker that does not answer is told by whoever needs it.
    with suppress(CtoError):
        own = wiring.docker.own()
        if own and not own.image.startswith("sha256:"):
            return own.image
    return ""


def instead(wiring: Wiring, components: Iterable[Component]) -> str:
    """Say which bundle has what ours lacks, and how to get it; '' without a bundle.

    Args:
        wiring: Knows our bundle.
        components: What is lacking is theirs.
    """
    source = wiring.source
    if source is None or not source.profile:
        return ""
    wanted = {component.feature for component in components if component.feature}
    having = [p for p in _having(wiring.root / "profiles", wanted) if p != source.profile]
    if not wanted or not having:
        return ""
    features, profiles = ", ".join(sorted(wanted)), " or ".join(having)
    off = " ".join(f"features.{feature}: false" for feature in sorted(wanted))
    return _INSTEAD.format(
        folder=source.folder,
        held=source.profile,
        features=features,
        profiles=profiles,
        image=_sibling(name(wiring), source.profile, having[0]),
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
