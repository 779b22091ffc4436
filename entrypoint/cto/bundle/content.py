"""What goes into the bundle of a profile."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cto.bundle.collect import Normalise
from cto.bundle.lock import Lock
from cto.bundle.rendering import Wish
from cto.catalog import Catalog, Component
from cto.errors import ConfigError
from cto.plan.wanted import select


def components_of(catalog: Catalog, wishes: Iterable[Wish], profile: str) -> tuple[Component, ...]:
    """Return the components of a profile, in the catalog's order."""
    names = {
        component.name
        for wish in wishes
        if wish.profile == profile
        for component in select(catalog, wish.config).managed
    }
    return tuple(component for component in catalog.components if component.name in names)


def ours(components: Iterable[Component]) -> tuple[str, ...]:
    """Return the images that are made of this project, as no lock names them."""
    return tuple(image.reference for one in components for image in one.images if image.ours)


def check_fresh(
    lock: Lock,
    components: Iterable[Component],
    normalise: Normalise,
    others: Iterable[str] = (),
) -> None:
    """Make sure that a lock has the images that these components list, and no others of them.

    Whether pods have them is not looked at again: that takes all charts, and Helm. `others` are
    images that belong to no component.

    Raises:
        ConfigError: CTO-1312, naming each image that differs.
    """
    problems = [
        line for component in components for line in _differences(lock, component, normalise)
    ]
    locked = {item.image for item in lock.images}
    problems += [f"{name} is not in the lock" for name in others if name not in locked]
    if problems:
        text = "the lock is older than the catalog"
        hint = "Write it anew: `cto bundle lock`."
        raise ConfigError("CTO-1312", text, details="\n".join(problems), hint=hint)


def _differences(lock: Lock, component: Component, normalise: Normalise) -> Iterator[str]:
    listed = {normalise(image.ref) for image in component.images if not image.ours}
    locked = {
        item.image
        for item in lock.images
        if any(need.component == component.name for need in item.needed_by)
    }
    for name in sorted(listed - locked):
        yield f"{component.name}: {name} is not in the lock"
    for name in sorted(locked - listed):
        yield f"{component.name}: {name} is in the lock, and no longer in the catalog"
