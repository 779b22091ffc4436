"""Builds what installs on one cluster, from the settings and from adapters that are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cto import __version__
from cto.adapters.helm import HelmGuard, chart_crds
from cto.adapters.host import Host
from cto.catalog import Catalog
from cto.cli.describe import tell
from cto.cli.preflight import OpenSession, Preflight
from cto.cli.progress import Screen
from cto.cli.settings import CommandSettings
from cto.engine.cache import Lacking
from cto.engine.installer import Installer, Loss
from cto.engine.lock import ClusterLock, at_work
from cto.engine.planning import ChartSource
from cto.errors import ApiError
from cto.holder import Containers
from cto.objects import Manifest
from cto.plan.selection import Selection
from cto.plan.steps import ApplyCrds
from cto.ports import Clock, Cluster, Provider, Releases, Runner
from cto.result import Check, CheckStatus

if TYPE_CHECKING:
    from cto.cli.relocating import Relocations
    from cto.config.load import Loaded
    from cto.relocation import Relocation

# Where even the cluster's identity may not be read: the first look at it ends the run.
_UNSEEN = "unseen"

LockOf = Callable[[Cluster, Callable[[str], None], Callable[[str], None]], ClusterLock]
"""Takes a cluster, what is told whom the lock waits for, and what is told that it is lost."""


@dataclass(frozen=True, kw_only=True)
class Configured:
    """What a verb has that needs a configuration."""

    loaded: Loaded
    selection: Selection
    relocations: Relocations | None

    @property
    def moved(self) -> Mapping[str, Relocation]:
        """What the manifests of components go through, if a registry is named."""
        return self.relocations.by_component if self.relocations else {}


def build_installer(
    settings: CommandSettings,
    configured: Configured | None,
    *,
    catalog: Catalog,
    charts: ChartSource,
    provider: Provider,
    context: str,
    cluster: Cluster,
    releases: Releases,
    runner: Runner,
    guard: HelmGuard,
    clock: Clock,
    host: Host,
    containers: Callable[[], Containers],
    lock_of: LockOf,
    open_session: OpenSession,
    lacking: Lacking,
    screen: Screen,
) -> Installer:
    """Return the installer of a cluster that is open."""

    def crds_of(step: ApplyCrds) -> Sequence[Manifest]:
        cache, version = settings.cache / "crds", cluster.server_version()
        return chart_crds(step.release, step.crds, releases, cache, version)

    preflight = Preflight(
        settings=settings,
        catalog=catalog,
        cluster=cluster,
        releases=releases,
        clock=clock,
        crds_of=crds_of,
        relocations=configured.relocations if configured else None,
        open_session=open_session,
        notice=screen.notice,
    )
    return Installer(
        catalog=catalog,
        config=configured.loaded.config if configured else None,
        selection=configured.selection if configured else None,
        base=configured.loaded.profile.base if configured else "",
        provider=provider.name,
        creates_cluster=provider.creates,
        resizes_cluster=provider.resizes,
        context=context,
        version=__version__,
        env=settings.env,
        cluster=cluster,
        releases=releases,
        runner=runner,
        clock=clock,
        charts=charts,
        crds_of=crds_of,
        at_work=lambda: at_work(cluster, host, containers),
        lock=lambda lost: _held(lock_of, cluster, guard, screen, lost),
        preflight=preflight.of_install,
        removal_checks=preflight.of_removal,
        listen=screen.listen,
        on_checks=lambda checks: _tell(settings, checks, screen),
        relocations=configured.moved if configured else {},
        ports=provider.published() if configured else {},
        lacking=lacking,
        allow_downgrade=settings.options.allow_downgrade,
    )


def uid_of(cluster: Cluster) -> str:
    """Return what tells clusters apart; who may not see it learns of all that is missing."""
    try:
        return cluster.uid()
    except ApiError as error:
        if error.is_forbidden:
            return _UNSEEN
        raise


@contextmanager
def _held(
    lock_of: LockOf, cluster: Cluster, guard: HelmGuard, screen: Screen, lost: Loss
) -> Iterator[Callable[[], bool]]:
    def on_lost(reason: str) -> None:
        screen.notice(reason, warning=True)
        lost.error = lock.loss
        lost.set()

    lock = lock_of(cluster, screen.notice, on_lost)
    with lock, guard.held(screen.notice):
        yield lock.is_held


def _tell(settings: CommandSettings, checks: Sequence[Check], screen: Screen) -> None:
    """Show what is no reason to stop, and what was left out because the user wants it so."""
    skipped = settings.cluster.skip_preflight
    told = [c for c in checks if c.status is CheckStatus.WARNING or c.name in skipped]
    tell(screen.notice, told)
