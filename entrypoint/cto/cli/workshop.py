"""Puts together what works on bundles. Apart from the wiring: no other verb needs any of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from cto.bundle.collect import Rendering, node_image
from cto.bundle.rendering import ComponentRenderer, render_targets
from cto.cli.bundling import Bundling
from cto.cli.output import Screen
from cto.cli.registries import RegistryOptions
from cto.cli.serving import Serving
from cto.engine.preflight import supported

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring


def bundling(wiring: Wiring, registries: RegistryOptions, screen: Screen) -> Bundling:
    """Return what works on locks and bundles."""
    names = [component.name for component in wiring.catalog.components]
    targets = partial(render_targets, wiring.root / "profiles", names)

    def render() -> Iterator[Rendering]:
        made = ComponentRenderer(wiring.catalog, wiring.charts.resolve, wiring.templates())
        return made.render(list(targets()), supported(wiring.root / "bundle").ends)

    return Bundling(
        catalog=wiring.catalog,
        targets=targets,
        render=render,
        charts=wiring.charts.resolve,
        open_session=partial(wiring.session, registries.ca_file, {}),
        registries=registries,
        screen=screen,
        node=node_image(wiring.root / "bundle"),
    )


def serving(wiring: Wiring) -> Serving:
    """Return what turns this process into the registry of a bundle."""
    program = partial(wiring.tools.path, "registry")
    return Serving(program=program, host=wiring.host, become=wiring.become)
