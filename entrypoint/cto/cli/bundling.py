"""The verbs of `cto bundle`, apart from the command line. What they need is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from types import MappingProxyType
from typing import TYPE_CHECKING

from cto.bundle.collect import Need, NodeImage, Rendering, collect, node_image, node_need
from cto.bundle.lock import LockedImage, check_fresh, merged_lock, read_lock, write_lock
from cto.bundle.rendering import (
    PROFILES,
    ComponentRenderer,
    RenderTarget,
    components_of,
    own_images,
    render_targets,
)
from cto.bundle.resolve import Resolved, changes, resolved
from cto.catalog import Catalog, Component
from cto.cli import bundletext
from cto.cli.progress import Screen
from cto.cli.registries import RegistryOptions
from cto.cli.relocating import target_of
from cto.engine.preflight import supported
from cto.errors import IntegrityError, UsageError
from cto.ports import Chart
from cto.result import Result
from cto.storage import unwritable, writing
from cto_airgap.build import Builder, Built, WantedBundle, WantedChart, WantedImage
from cto_airgap.bundle import difference, listing
from cto_airgap.image import write_image
from cto_airgap.oci import ImagePlatform
from cto_airgap.push import Pusher
from cto_airgap.reference import Endpoints, InvalidReferenceError, normalise, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.sources import ImageArchive, WithArchives, resolve
from cto_airgap.transfers import TransferProgress
from cto_airgap.uploads import Uploader
from cto_airgap.verify import check

if TYPE_CHECKING:
    from cto.cli.wiring import Wiring

OpenSession = Callable[[Flag], AbstractContextManager[Session]]
"""Takes what stops all requests when it is set."""


@dataclass(frozen=True, kw_only=True)
class Bundling:
    """Works on locks and bundles.

    Attributes:
        catalog: All components.
        targets: Configurations that bundles have to serve.
        render: Renders all components, for every target.
        charts: Finds a component's chart.
        open_session: Connects to registries.
        registries: Which ones.
        node: What nodes of clusters that are made consist of; None leaves it out.
        screen: Told how it goes.
    """

    catalog: Catalog
    targets: Callable[[], Iterable[RenderTarget]]
    render: Callable[[], Iterable[Rendering]]
    charts: Callable[[Component], Chart]
    open_session: OpenSession
    registries: RegistryOptions
    screen: Screen
    node: NodeImage | None = None

    def lock(self, path: Path, *, update: bool) -> Result:
        """Write the lock anew: what is needed now, with the digests that registries tell."""
        old = read_lock(path)
        components = bundletext.count(len(self.catalog.components), "component")
        self.screen.notice(f"rendering {components}")
        needs = collect(self.catalog.components, self.render(), PROFILES, normalise) | self._node()
        new = merged_lock(needs, old)
        asked = new.images if update else new.unresolved
        if asked:
            self.screen.notice(f"asking registries about {bundletext.count(len(asked), 'image')}")
        with self._registry(new.images) as (registry, stop):
            resolver = RegistryResolver(registry)
            outcome = resolved(new, resolver, update=update, stop=stop)
        for item in outcome.gone:
            self.screen.notice(bundletext.gone_text(item), warning=True)
        diff = changes(old, outcome.lock)
        written = write_lock(path, outcome.lock)
        return Result(
            command="bundle lock",
            data=bundletext.lock_data(path, outcome, diff, written=written),
            text=bundletext.lock_text(path, outcome, diff, written=written),
        )

    def build(
        self,
        path: Path,
        out: Path,
        *,
        profile: str,
        platform: ImagePlatform,
        with_images: bool = True,
        archives: Mapping[str, Path] = MappingProxyType({}),
    ) -> Result:
        """Build the bundle of a profile, or go on with it.

        `archives` are the files of images that are ours, by their names without a tag.

        Raises:
            IntegrityError: CTO-1801, images of the profile have no digest, or none of our files;
                CTO-1811, a file is no image.
            UsageError: CTO-1200, a file is given for an image that is not ours.
        """
        lock = read_lock(path)
        components = components_of(self.catalog, self.targets(), profile)
        check_fresh(lock, components, normalise, self._node())
        images = lock.of_profile(profile) if with_images else ()
        locked = tuple(WantedImage(parse_reference(one.image), one.digest) for one in images)
        wanted = WantedBundle(platform=platform, profile=profile, images=locked)
        # Charts may have to be fetched, and for nothing if images lack digests.
        wanted.check_resolved()
        ours = [parse_reference(name) for name in own_images(components) if with_images]
        opened = _opened(archives, [one.name for one in ours])
        made = [WantedImage(one, opened[one.name].manifest.digest) for one in ours]
        files = {_wanted(chart): chart.path for chart in map(self._chart, components)}
        every = tuple(sorted([*locked, *made]))
        wanted = replace(wanted, images=every, charts=tuple(sorted(files)))
        with self._registry(images) as (registry, stop):
            built = self._built(wanted, out, WithArchives(registry, opened), files, stop)
        return Result(
            command="bundle build",
            data=bundletext.built_data(out, built, profile),
            text=bundletext.built_text(out, built, profile),
        )

    def _built(
        self,
        wanted: WantedBundle,
        out: Path,
        images: WithArchives,
        charts: Mapping[WantedChart, Path],
        stop: Flag,
    ) -> Built:
        many = [(len(wanted.images), "image"), (len(charts), "chart")]
        self.screen.notice(f"bringing {' and '.join(bundletext.count(*one) for one in many)}")
        builder = Builder(
            images,
            lambda chart: charts[chart],
            stop=stop,
            progress=Tenths(self.screen, "fetched"),
            notice=self.screen.notice,
        )
        with writing(out, instead="name another folder: --out DIR"):
            return builder.build(wanted, out)

    def push(self, folder: Path, to: str) -> Result:
        """Bring a bundle to a registry: what that lacks."""
        target, plain = target_of(to)
        stop = Flag()
        with self.open_session(stop) as session:
            endpoints = Endpoints(plain=plain)
            pushed = Pusher(
                RegistryClient(session, endpoints),
                Uploader(session, endpoints),
                stop=stop,
                progress=Tenths(self.screen, "pushed"),
            ).push(folder, target)
        return Result(
            command="bundle push",
            data=bundletext.pushed_data(folder, to, pushed),
            text=bundletext.pushed_text(to, pushed),
        )

    def _node(self) -> dict[str, tuple[Need, ...]]:
        return node_need(self.node, PROFILES, normalise) if self.node else {}

    @contextmanager
    def _registry(self, images: Sequence[LockedImage]) -> Iterator[tuple[RegistryClient, Flag]]:
        mirrors = self.registries.mirrors_of(parse_reference(one.image).host for one in images)
        stop = Flag()
        with self.open_session(stop) as session:
            yield RegistryClient(session, Endpoints(mirrors=mirrors)), stop

    def _chart(self, component: Component) -> Chart:
        """Return the chart of a component; say so if it is not the one that is pinned."""
        chart = self.charts(component)
        source = component.chart
        if not source.path and chart.digest != source.sha256:
            text = f"chart {chart.name} {chart.version} is not the one that is pinned"
            self.screen.notice(text, warning=True)
        return chart


class Tenths:
    """Tells of a transfer each time that another tenth of it is done.

    Threads call it, but one at a time: `cto_airgap.transfers.Counter` sees to that.
    """

    def __init__(self, screen: Screen, verb: str) -> None:
        self._screen = screen
        self._verb = verb
        self._told = 0

    def __call__(self, progress: TransferProgress) -> None:
        tenth = 10 * progress.done // (progress.total or 1)
        if tenth > self._told:
            self._told = tenth
            self._screen.notice(f"{self._verb} {tenth}0 % of {bundletext.amount(progress.total)}")


def listed_lock(path: Path, profile: str | None) -> Result:
    """Return the images of a lock, or of one profile in it."""
    lock = read_lock(path)
    images = lock.of_profile(profile) if profile else lock.images
    return Result(
        command="bundle list",
        data=bundletext.locked_data(path, profile, images),
        text=bundletext.locked_text(lock, images),
    )


def listed(folder: Path) -> Result:
    """Return what a bundle holds."""
    found = listing(folder)
    return Result(
        command="bundle list",
        data=bundletext.listing_data(folder, found),
        text=bundletext.listing_text(found),
    )


def verified(folder: Path) -> Result:
    """Hash every file of a bundle.

    Raises:
        IntegrityError: CTO-1810, something is wrong; CTO-1811, there is no bundle.
    """
    found = check(folder)
    size = bundletext.amount(found.size)
    return Result(
        command="bundle verify",
        data={
            "bundle": str(folder),
            "digest": found.digest,
            "files": found.files,
            "size": found.size,
        },
        text=f"{folder}: every bit is right, {found.files} files, {size}\n{found.digest}",
    )


def compared(old: Path, new: Path) -> Result:
    """Return what one bundle has and another one has not."""
    found = difference(old, new)
    return Result(
        command="bundle diff",
        data=bundletext.difference_data(found),
        text=bundletext.difference_text(found),
    )


def platform_of(text: str) -> ImagePlatform:
    """Return the platform that a text names.

    Raises:
        UsageError: CTO-1200, it names none.
    """
    try:
        return ImagePlatform.parse(text).plain
    except ValueError as error:
        raise UsageError("CTO-1200", f"--platform {text}: {error}") from error


def _opened(archives: Mapping[str, Path], wanted: Sequence[str]) -> dict[str, ImageArchive]:
    """Open the files of our images, by their names: all of them, and no others."""
    if strange := sorted({*archives} - {*wanted}):
        what = ", ".join(wanted) or "none: it has no image of ours"
        text = f"--archive {strange[0]}: the bundle takes {what}"
        raise UsageError("CTO-1200", text)
    if lacking := sorted({*wanted} - {*archives}):
        text = f"{bundletext.count(len(lacking), 'image')} of ours: no file is given"
        hint = "`make image` makes them, and gives the files: --archive NAME=FILE for each."
        raise IntegrityError("CTO-1801", text, details="\n".join(lacking), hint=hint)
    return {name: ImageArchive(path) for name, path in archives.items()}


def archives_of(given: Sequence[str]) -> dict[str, Path]:
    """Return the files that options name, by the images that they hold.

    Raises:
        UsageError: CTO-1200, one is not NAME=FILE.
    """
    pairs = [text.partition("=") for text in given]
    for text, (name, _, file) in zip(given, pairs, strict=True):
        if not (name and file):
            hint = "It looks like --archive cto.internal/controller=controller.tar."
            raise UsageError("CTO-1200", f"--archive {text} is not NAME=FILE", hint=hint)
    return {name: Path(file) for name, _, file in pairs}


def _wanted(chart: Chart) -> WantedChart:
    return WantedChart(chart.name, chart.version, chart.digest)


class RegistryResolver:
    """Implements `cto.bundle.resolve.Resolver`."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry

    def resolve(self, reference: str) -> Resolved:
        found = resolve(self._registry, parse_reference(reference))
        platforms = tuple(map(str, found.platforms))
        return Resolved(digest=found.digest, size=found.size, platforms=platforms)


def written(program: Path, bundle: Path, out: Path, name: str) -> Result:
    """Write an image with a bundle in it.

    Raises:
        IntegrityError: CTO-1811, the program is no image, or the folder holds no bundle.
        PreflightError: CTO-1485, the file cannot be written.
        UsageError: CTO-1200, the name is none.
    """
    try:
        if parse_reference(name).digest:
            text = f"--name {name}: a digest is found out, not given"
            raise UsageError("CTO-1200", text)
        made = write_image(program, bundle, out, name)
    except InvalidReferenceError as error:
        raise UsageError("CTO-1200", f"--name: {error}") from error
    except OSError as error:
        raise unwritable(out, error, instead="name another file: --out FILE") from error
    layers = bundletext.count(made.layers, "layer")
    return Result(
        command="bundle image",
        data={
            "file": str(out),
            "name": name,
            "digest": made.digest,
            "bundle": made.bundle,
            "size": made.size,
        },
        text=(
            f"{out}: {name}, {bundletext.amount(made.size)}\n{made.digest}\n"
            f"with the bundle {made.bundle} in {layers}"
        ),
    )


def of_wiring(wiring: Wiring, registries: RegistryOptions, screen: Screen) -> Bundling:
    """Return what works on locks and bundles."""
    names = [component.name for component in wiring.catalog.components]
    targets = partial(render_targets, wiring.settings.profiles, names)

    def render() -> Iterator[Rendering]:
        made = ComponentRenderer(wiring.catalog, wiring.charts.resolve, wiring.templates())
        return made.render(list(targets()), supported(wiring.settings.bundle).ends)

    return Bundling(
        catalog=wiring.catalog,
        targets=targets,
        render=render,
        charts=wiring.charts.resolve,
        open_session=partial(wiring.sessions.open, registries.ca_file, {}),
        registries=registries,
        screen=screen,
        node=node_image(wiring.settings.bundle),
    )
