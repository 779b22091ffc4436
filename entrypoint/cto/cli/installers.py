"""Builds what installs on one cluster, from the settings and from adapters that are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cto import __version__
from cto.adapters.helm import HelmGuard, chart_crds
from cto.catalog import Catalog
from cto.cli.describe import tell
from cto.cli.preflight import OpenSession, Preflight
from cto.cli.progress import Screen
from cto.cli.settings import CommandSettings
from cto.engine.cache import Lacking
from cto.engine.installer import Installer
from cto.engine.lease import Loss
from cto.engine.lock import ClusterLock
from cto.engine.planning import ChartSource
from cto.errors import ApiError
from cto.objects import Manifest
from cto.plan.desired import Destination
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


def destination(
    provider: Provider, env: Mapping[str, str], configured: Configured | None
) -> Destination:
    """Return where the platform goes."""
    there = Destination(
        provider=provider.name, env=env, creates=provider.creates, resizes=provider.resizes
    )
    if configured is None:
        return there
    return replace(
        there,
        base=configured.loaded.profile.base,
        relocations=configured.moved,
        ports=provider.published(),
    )


@dataclass(frozen=True, kw_only=True)
class InstallerParts:
    """What the installer of one cluster is built from: settings, and adapters that are open.

    Attributes:
        configured: None for a verb that needs no configuration.
        context: The kubeconfig's.
        guard: Keeps a helm that outlived its installer from being worked against.
        at_work: Returns who has the lock of the cluster now; '' for nobody.
    """

    settings: CommandSettings
    configured: Configured | None
    catalog: Catalog
    charts: ChartSource
    provider: Provider
    context: str
    cluster: Cluster
    releases: Releases
    runner: Runner
    guard: HelmGuard
    clock: Clock
    at_work: Callable[[], str]
    lock_of: LockOf
    open_session: OpenSession
    lacking: Lacking
    screen: Screen

    def build(self) -> Installer:
        configured, preflight = self.configured, self._preflight()
        return Installer(
            catalog=self.catalog,
            config=configured.loaded.config if configured else None,
            selection=configured.selection if configured else None,
            given=configured.loaded.given if configured else (),
            destination=destination(self.provider, self.settings.env, configured),
            context=self.context,
            version=__version__,
            cluster=self.cluster,
            releases=self.releases,
            runner=self.runner,
            clock=self.clock,
            charts=self.charts,
            crds_of=self._crds_of,
            at_work=self.at_work,
            lock=self._held,
            preflight=preflight.of_install,
            removal_checks=preflight.of_removal,
            listen=self.screen.listen,
            on_checks=self._tell,
            lacking=self.lacking,
            allow_downgrade=self.settings.options.allow_downgrade,
            may_replace=self.settings.options.may_replace,
        )

    def _preflight(self) -> Preflight:
        return Preflight(
            settings=self.settings,
            catalog=self.catalog,
            cluster=self.cluster,
            releases=self.releases,
            clock=self.clock,
            crds_of=self._crds_of,
            relocations=self.configured.relocations if self.configured else None,
            open_session=self.open_session,
            notice=self.screen.notice,
        )

    def _crds_of(self, step: ApplyCrds) -> Sequence[Manifest]:
        cache, version = self.settings.cache / "crds", self.cluster.server_version()
        return chart_crds(step.release, step.crds, self.releases, cache, version)

    @contextmanager
    def _held(self, lost: Loss) -> Iterator[Callable[[], bool]]:
        def on_lost(reason: str) -> None:
            self.screen.notice(reason, warning=True)
            lost.error = lock.loss
            lost.set()

        lock = self.lock_of(self.cluster, self.screen.notice, on_lost)
        with lock, self.guard.held(self.screen.notice):
            yield lock.is_held

    def _tell(self, checks: Sequence[Check]) -> None:
        """Show what is no reason to stop, and what was left out because the user wants it so."""
        skipped = self.settings.cluster.skip_preflight
        told = [c for c in checks if c.status is CheckStatus.WARNING or c.name in skipped]
        tell(self.screen.notice, told)


def uid_of(cluster: Cluster) -> str:
    """Return what tells clusters apart; who may not see it learns of all that is missing."""
    try:
        return cluster.uid()
    except ApiError as error:
        if error.is_forbidden:
            return _UNSEEN
        raise
