"""Clusters of containers: what they need beside the tools of simulated ones."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.dockerd import engine
from lab.images import build as images
from lab.images import bundle, modules
from lab.nodeimage import base, programs
from lab.nodeimage import build as node
from lab.preparation import Task
from lab.registry import build as registry
from lab.tools import build

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Prepared:
    """What earlier tasks bring: the product, and what packs the charts."""

    cto: Path
    make_charts: Callable[[], None]


def tasks(profile: str, prepared: Prepared) -> list[Task | None]:
    """List what clusters of containers need: the engine, their nodes, images, and a bundle."""
    return [
        engine_task(),
        kind_task(),
        node_task(),
        base_task(),
        modules_task(),
        images_task(),
        bundle_task(profile, prepared),
    ]


def will_build() -> bool:
    """Tell whether a node image is going to be built on this machine."""
    return engine.is_wanted() and not node.image().is_cached


def engine_task() -> Task | None:
    if engine.version():
        return None
    kept = 0 if engine.programs().exists() else engine.KEPT_MIB
    peak = kept and engine.PEAK_MIB
    return Task("Docker Engine", engine.SECONDS if kept else 5, peak, kept, engine.up)


def kind_task() -> Task | None:
    missing = programs.kind_missing()
    if not missing:
        return None
    return Task(
        what="kind",
        seconds=build.seconds(missing),
        peak_mib=build.peak_mib(missing),
        kept_mib=sum(tool.size_mib for tool in missing),
        run=programs.make_kind,
    )


def gather_programs() -> None:
    """Put what the product's image holds beside its other tools: it takes all from one folder."""
    own = engine.programs() / "usr" / "bin" / "docker"
    sources = [registry.folder() / "crane", registry.folder() / "registry"]
    sources.append(own if own.exists() else Path(engine.client() or own))
    for source in sources:
        target = programs.tools_folder() / source.name
        if not target.exists() or build.sha256_of(target) != build.sha256_of(source):
            part = target.with_name(f".{source.name}.tmp")
            shutil.copy(source, part)
            part.replace(target)


def node_task() -> Task | None:
    if node.is_there():
        return None
    missing = [] if node.image().is_cached else programs.missing()
    building = 0 if node.image().is_cached else node.ASSEMBLE_S
    return Task(
        what="a node image for kind, from Go modules and Debian packages",
        seconds=build.seconds(missing) + building + node.LOAD_S,
        peak_mib=build.peak_mib(missing) + (node.PEAK_MIB if building else node.KEPT_MIB),
        kept_mib=sum(tool.size_mib for tool in missing) + node.KEPT_MIB,
        run=make_node,
    )


def make_node() -> None:
    node.make()
    build.drop_go_caches()


def base_task() -> Task | None:
    if base.is_there():
        return None
    what = "a base for the product's image, from Debian packages"
    return Task(what, base.SECONDS, base.PEAK_MIB, base.KEPT_MIB, base.make)


def modules_task() -> Task | None:
    missing = modules.missing()
    if not missing:
        return None
    return Task(
        what=f"{', '.join(tool.name for tool in missing)}, from Go modules",
        seconds=build.seconds(missing),
        peak_mib=build.peak_mib(missing),
        kept_mib=sum(tool.size_mib for tool in missing),
        run=make_modules,
    )


def make_modules() -> None:
    modules.make()
    build.drop_go_caches()


def images_task() -> Task | None:
    if images.is_there():
        return None
    kept = images.KEPT_MIB
    return Task("images that stand in for upstream's", images.SECONDS, kept, kept, images.make)


def bundle_task(profile: str, prepared: Prepared) -> Task | None:
    if images.is_there() and node.image().is_cached and bundle.is_there(profile):
        return None
    kept = bundle.KEPT_MIB

    def make() -> None:
        prepared.make_charts()
        bundle.make(profile, prepared.cto)

    return Task(f"a bundle of profile {profile}", bundle.SECONDS, kept, kept, make)


def absence() -> str:
    """Say why nothing can be tested with Docker on this machine; empty if it can."""
    answers = engine.version()
    if not answers and not engine.is_wanted():
        return engine.ABSENT
    missing = ", ".join([*([] if answers else engine.lacking()), *node.lacking()])
    what = "a node image" if answers else "Docker"
    if missing:
        return f"{what} would need {missing}"
    refused = "" if answers else engine.forbidden()
    return f"Docker may not run on this machine: {refused}" if refused else ""


def lacking() -> list[str]:
    """List what Docker, the node image and the images lack on this machine."""
    answers = engine.version()
    if not answers and not engine.is_wanted():
        return [f"Docker: {engine.ABSENT}"]
    found = [] if answers else engine.lacking()
    wanted = [] if node.image().is_cached else programs.missing()
    found += build.lacking([*wanted, *programs.kind_missing()], programs.folder())
    return list(dict.fromkeys([*found, *node.lacking(), *base.lacking(), *images.lacking()]))
