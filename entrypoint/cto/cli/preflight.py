"""What is checked of a cluster before anything on it is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING

from cto.catalog import Catalog
from cto.cli import bundled
from cto.cli.settings import CommandSettings
from cto.engine.definitions import CrdSource
from cto.engine.nodes import Images
from cto.engine.planned import Known, hooks_of, known_of
from cto.engine.planning import secret_values
from cto.engine.preflight import (
    REGISTRY,
    cluster_checks,
    needs_of,
    profile_checks,
    removal_checks,
    skipped,
    supported,
)
from cto.engine.rbac import Rights
from cto.engine.rights import rights_of_removal
from cto.plan.desired import DesiredState
from cto.plan.observed import Observed
from cto.plan.selection import with_installed
from cto.plan.steps import Plan
from cto.ports import Clock, Cluster, Releases
from cto.providers import is_in_docker
from cto.result import Check

if TYPE_CHECKING:
    from cto.cli.relocating import Relocations
    from cto.config.model import Config
    from cto_airgap.logins import RegistryLogin
    from cto_airgap.session import Session

OpenSession = Callable[
    [Path | None, "Mapping[str, RegistryLogin]", Flag], "AbstractContextManager[Session]"
]
"""Takes certificates to trust besides the usual ones, log-ins, and what ends it."""


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Checks a cluster against what a command is about to do.

    Attributes:
        relocations: Where images come from, if not from upstream.
        open_session: Connects to registries.
        notice: Told what was left out.
    """

    settings: CommandSettings
    catalog: Catalog
    cluster: Cluster
    releases: Releases
    clock: Clock
    crds_of: CrdSource
    relocations: Relocations | None
    open_session: OpenSession
    notice: Callable[[str], None]

    def of_install(self, observed: Observed, desired: DesiredState, plan: Plan) -> Sequence[Check]:
        """Return the checks of an installation."""
        known = known_of(plan, observed, self.cluster, self.crds_of, self.releases)
        needs = needs_of(desired, supported(self.settings.bundle), known)
        # Of what could not be observed, nothing is known.
        seen = observed if observed.namespaces else None
        needs = replace(needs, seen=seen, images=self._images)
        skip = self.settings.cluster.skip_preflight
        checks = cluster_checks(self.cluster, needs, clock=self.clock, skip=skip)
        loaded = self.settings.loaded
        if loaded and not loaded.names_profile:
            installed = observed.state.profile if observed.state else ""
            checks = (*checks, *profile_checks(installed, desired.profile))
        if not (observed.simulated or (self.settings.images and is_in_docker(desired.provider))):
            checks = (*checks, *bundled.checks(desired))
        if REGISTRY.name in skip:
            return (*checks, skipped(REGISTRY))
        return (*checks, *(self._image_checks(loaded.config) if loaded else ()))

    def of_removal(self, plan: Plan, observed: Observed) -> Sequence[Check]:
        """Return the checks of a removal."""
        there = with_installed(self.catalog, observed.state).components

        def rights() -> Rights:
            return rights_of_removal(
                plan,
                observed,
                Known(steps=plan.steps, kinds=self.cluster.kinds(), namespaces=observed.namespaces),
                hooks=hooks_of(plan, self.releases),
                namespaces={component.namespace for component in there},
            )

        return removal_checks(self.cluster, rights, skip=self.settings.cluster.skip_preflight)

    @property
    def _images(self) -> Images:
        """For which machines the images are: those of the bundle, if they are taken from it."""
        if source := self.settings.images:
            return Images(frozenset([source.platform.architecture]), str(source.folder))
        return Images()

    def _image_checks(self, config: Config) -> Sequence[Check]:
        if self.relocations is None or not self.relocations.needed:
            return ()
        from cto.cli.relocating import checks  # noqa: PLC0415 - what it asks with is slow to import

        if not config.registry.check:
            self.notice("images in the registry: not measured, registry.check is false")
            return ()
        password = secret_values(config, self.cluster, "registry.password").get("", "")
        trusted = config.registry.ca_file
        opened = partial(self.open_session, Path(trusted) if trusted else None)
        return checks(config.registry, password, self.relocations, opened)
