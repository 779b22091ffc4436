"""Builds adapters, and nothing else does. Verbs have it; what they call gets what it needs."""

from __future__ import annotations

import importlib
import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, NoReturn

from cto import storage
from cto.adapters import scratch
from cto.adapters.building import ProviderModule, ProviderParts
from cto.adapters.clock import SystemClock
from cto.adapters.docker import port_is_free
from cto.adapters.download import Downloader
from cto.adapters.helm import ChartResolver, HelmGuard, HelmReleases
from cto.adapters.host import Host
from cto.adapters.kubernetes import KubeCluster, LoginPrograms
from cto.adapters.kubernetes.kubeconfig import login_secrets
from cto.adapters.process import ProcessRunner, become
from cto.adapters.tools import Tools
from cto.catalog import Catalog
from cto.cli.bundled import BundleAdvice, BundledCharts
from cto.cli.clusters import Clusters
from cto.cli.installers import Configured, InstallerParts, uid_of
from cto.cli.progress import Screen
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.engine.installer import Installer
from cto.engine.lease import at_work
from cto.engine.lock import ClusterLock
from cto.events import Event
from cto.holder import Containers, NoContainers
from cto.plan.selection import Selection, select
from cto.ports import Access, Clock, Cluster, NodeOptions, Provider, Releases, Runner
from cto.redaction import Secrets
from cto.result import Check
from cto.storage import folder_checks

if TYPE_CHECKING:
    from cto.adapters.docker import Engine
    from cto.cli.relocating import Relocations
    from cto.cli.secretguard import SecretGuard
    from cto.cli.sessions import Sessions
    from cto.config.load import Installed, Loaded
    from cto_airgap.logins import RegistryLogin
    from cto_airgap.session import Session
    from cto_airgap.web import Transport


def _helm(runner: Runner, program: Callable[[], Path], access: Access, home: Path) -> Releases:
    return HelmReleases(runner, program, access, home=home)


@dataclass
class Wiring:
    """One command's adapters, made when they are needed.

    What has a default reaches outside; tests give fakes instead.

    Attributes:
        notice: Told what users should know.
        debug: Told every command that is run and every request that is sent, and how each ended.
        listen: Told how downloads go.
        secrets: What must be shown nowhere, as far as it is known by then.
        open_cluster: Opens the API; None reaches it.
        open_helm: Takes the runner, the program, the cluster and Helm's home.
        open_web: Takes certificates to trust besides the usual ones; None reaches outside.
        become: Replaces this process by a program.
        port_is_free: Tells whether nobody listens on a port of this machine's loopback address.
        providers: Where clusters come from, by name, as far as somebody has asked for them.
        fetches: Whether anything may be downloaded that is not here.
    """

    settings: CommandSettings
    notice: Callable[[str], None] = lambda _: None
    debug: Callable[[str], None] = lambda _: None
    listen: Callable[[Event], None] = lambda _: None
    secrets: Secrets = field(default_factory=Secrets)
    clock: Clock = field(default_factory=SystemClock)
    host: Host = field(default_factory=Host)
    open_cluster: Callable[[Access, Clock], Cluster] | None = None
    open_helm: Callable[[Runner, Callable[[], Path], Access, Path], Releases] = _helm
    open_web: Callable[[Path | None], AbstractContextManager[Transport]] | None = None
    become: Callable[[Sequence[str], Mapping[str, str]], NoReturn] = become
    port_is_free: Callable[[int], bool] = port_is_free
    providers: dict[str, Provider] = field(default_factory=dict)
    fetches: bool = True

    # data

    @property
    def options(self) -> ClusterOptions:
        return self.settings.options

    @cached_property
    def catalog(self) -> Catalog:
        return self.settings.catalog()

    def configure(self, installed: Installed | None = None) -> Loaded:
        """Read the whole configuration, for a verb that needs one, before it does anything else.

        Args:
            installed: What was given to the installation that is there, if that is to count.

        Raises:
            ConfigError: With everything that is wrong with it.
        """
        from cto.cli import secretguard  # noqa: PLC0415 - slow to import, and status needs none

        self.settings = self.settings.configured(installed)
        config, components = self.loaded.config, self.catalog.components
        self.secrets.add(self.guard.values)
        self.guard.refuse_weak(secretguard.said_anyway(self.settings, config, components))
        return self.loaded

    @cached_property
    def guard(self) -> SecretGuard:
        """What keeps the secrets of the configuration out of command lines."""
        from cto.cli.secretguard import SecretGuard  # noqa: PLC0415 - as above

        return SecretGuard(self.loaded)

    @property
    def loaded(self) -> Loaded:
        """The configuration, once it was read."""
        if self.settings.loaded is None:
            text = "this verb has read no configuration"
            raise ValueError(text)
        return self.settings.loaded

    @cached_property
    def selection(self) -> Selection:
        """What the configuration asks for, whatever the cluster may have already."""
        return select(self.catalog, self.loaded.config)

    # folders

    @cached_property
    def spare(self) -> Path:
        """A folder that is gone after this run: for verbs that only look, where no other is.

        Raises:
            PreflightError: CTO-1485, no temporary file can be made either.
        """
        made = scratch.spare(
            self.host.pid,
            lambda pid: bool(self.host.started(pid)),
            instead_of=self.settings.cache,
            elsewhere=storage.CACHE.elsewhere(self.settings.env),
        )
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return made

    def folder_checks(self, *, cache: int = 0, state: int | None = 0) -> Sequence[Check]:
        """Return whether the folders of a verb can be written, and have that many bytes left.

        Args:
            cache: Needed in the cache.
            state: Needed where clusters and locks are; None if the verb has nothing to do with it.
        """
        needed = {self.settings.cache: cache} | (
            {} if state is None else {self.settings.state: state}
        )
        return folder_checks(needed, env=self.settings.env)

    # adapters

    @cached_property
    def downloader(self) -> Downloader:
        mirror = self.settings.env.get("CTO_MIRROR", "") if self.fetches else ""
        return Downloader(
            self.settings.cache / "downloads",
            mirror=mirror,
            offline=lambda: not self.fetches or self.settings.air_gapped,
            environ=self.settings.env,
            ca_file=self.options.ca_file,
            progress=lambda event: self.listen(event),  # noqa: PLW0108 - it is set late
            log=self._trace,
            spare=lambda: self.spare / "downloads",
        )

    @cached_property
    def tools(self) -> Tools:
        return Tools(
            self.settings.bundle,
            folder=self.options.tools,
            downloader=self.downloader,
            cache=self.settings.cache / "tools",
            spare=lambda: self.spare / "tools",
        )

    @cached_property
    def runner(self) -> ProcessRunner:
        return ProcessRunner(log=self._trace, clock=self.clock, redact=self.secrets.redacted)

    @cached_property
    def charts(self) -> ChartResolver:
        return ChartResolver(
            self.downloader,
            self.options.charts,
            self.settings.cache / "charts",
            stock=BundledCharts(self.settings.source, self.tell).find,
            instead=lambda component: self.bundles.instead([component]),
        )

    def templates(self) -> Releases:
        """Return Helm for rendering alone: it knows no cluster."""
        nowhere = Access(Path(os.devnull), "")
        home = self.settings.cache / "helm" / "templates"
        return self.open_helm(self.runner, partial(self.tools.path, "helm"), nowhere, home)

    @cached_property
    def sessions(self) -> Sessions:
        """What opens connections to registries."""
        from cto.cli.sessions import Sessions, web  # noqa: PLC0415 - most runs ask no registry

        return Sessions(
            env=self.settings.env,
            clock=self.clock,
            runner=self.runner,
            secrets=self.secrets,
            notice=self.tell,
            open_web=self.open_web or partial(web, self.settings.env, self._trace),
        )

    @cached_property
    def relocations(self) -> Relocations | None:
        """Where images come from, if the configuration names a registry of the user's own."""
        if self.loaded.config.registry.type == "local":
            return None
        from cto.cli.relocating import relocations  # noqa: PLC0415 - slow to import

        folder = self.settings.bundle
        return relocations(self.loaded, self.selection.managed, folder, self.options.bundle)

    @property
    def is_free(self) -> Callable[[int], bool] | None:
        """What tells free ports of the user's machine; None where that is not this one."""
        return None if self.host.in_container else self.port_is_free

    def connect(self, access: Access) -> Cluster:
        self.secrets.add(login_secrets(access.kubeconfig))
        if self.open_cluster:
            return self.open_cluster(access, self.clock)
        programs = LoginPrograms(self.runner, self.tell, self.secrets.add)
        return KubeCluster(access, clock=self.clock, log=self._trace, programs=programs)

    # clusters

    @cached_property
    def docker(self) -> Engine:
        from cto.cli import containers  # noqa: PLC0415 - other clusters need none of it

        return containers.engine(self.runner, self.tools, self.settings.env, self.host)

    def lock(
        self,
        cluster: Cluster,
        notice: Callable[[str], None],
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> ClusterLock:
        """Return the lock of a cluster; it is not taken yet."""
        return ClusterLock(
            cluster,
            self.clock,
            self.host,
            containers=self.containers(),
            notice=notice,
            on_lost=on_lost,
        )

    def containers(self) -> Containers:
        """Return what is known of the containers that installers run in."""
        if not self.settings.has_docker:
            return NoContainers()
        from cto.cli import containers  # noqa: PLC0415 - as above

        return containers.known(lambda: self.docker, self.tools, self.settings.env)

    @property
    def clusters(self) -> Clusters:
        """What finds the cluster that is to be worked on."""
        return Clusters(
            settings=self.settings,
            named=self.provider,
            connect=self.connect,
            image_name=self.bundles.image_name,
        )

    def provider(self, name: str) -> Provider:
        """Return a provider of `cto.providers`."""
        if name not in self.providers:
            module: ProviderModule = importlib.import_module(f"cto.adapters.{name}")
            self.providers[name] = module.build(self._parts(name))
        return self.providers[name]

    def _parts(self, provider: str) -> ProviderParts:
        from cto.cli.parts import provider_parts  # noqa: PLC0415 - bundles need no provider

        return provider_parts(
            provider,
            self.settings,
            catalog=lambda: self.catalog,
            host=self.host,
            clock=self.clock,
            runner=self.runner,
            tools=self.tools,
            docker=lambda: self.docker,
            spare=lambda: self.spare,
            connect=self.connect,
            nodes=self.node_options,
        )

    def node_options(self) -> NodeOptions:
        """Return what nodes of a cluster that is made shall be like."""
        from cto.cli.parts import node_options  # noqa: PLC0415 - as above

        return node_options(self.loaded)

    @property
    def bundles(self) -> BundleAdvice:
        """What says which bundle has what the one at hand lacks."""
        return BundleAdvice(
            settings=self.settings,
            host=self.host,
            docker=lambda: self.docker,
            components=lambda: self.catalog.components,
        )

    # verbs

    @contextmanager
    def installer(
        self, provider: Provider, access: Access, screen: Screen, *, configured: bool = True
    ) -> Iterator[Installer]:
        """Open everything that a verb needs of one cluster, and close it at the end."""
        if configured:
            # Which cluster it is may only be known now.
            self.guard.refuse_weak((str(access.kubeconfig), access.context))
        cluster = self.connect(access)
        with closing(cluster), ExitStack() as stack:
            uid = uid_of(cluster)
            guard = HelmGuard(self.settings.state / "locks" / f"{uid}.helm", self.clock)
            stack.callback(guard.close)
            runner = self._guarded_runner(guard, configured=configured)
            stack.callback(runner.stop)
            home = self.settings.cache / "helm" / uid
            # Looked for when it is called: a status seldom needs it.
            program = partial(self.tools.path, "helm")
            yield InstallerParts(
                settings=self.settings,
                configured=self.configured() if configured else None,
                catalog=self.catalog,
                charts=self.charts.resolve,
                provider=provider,
                context=access.context,
                cluster=cluster,
                releases=self.open_helm(runner, program, access, home),
                runner=runner,
                guard=guard,
                clock=self.clock,
                at_work=lambda: at_work(cluster, self.host, self.containers),
                lock_of=self.lock,
                open_session=self._open_session,
                lacking=self.bundles.lacking(provider.name),
                screen=screen,
            ).build()

    def _guarded_runner(self, guard: HelmGuard, *, configured: bool) -> ProcessRunner:
        """Return what runs programs: they keep the guard, and get no secret by their arguments."""
        return ProcessRunner(
            log=self._trace,
            clock=self.clock,
            keep_fds=lambda: guard.descriptors,
            guard=self.guard.is_secret if configured else None,
            redact=self.secrets.redacted,
        )

    def _open_session(
        self, ca_file: Path | None, logins: Mapping[str, RegistryLogin], stop: Flag
    ) -> AbstractContextManager[Session]:
        return self.sessions.open(ca_file, logins, stop)

    def configured(self) -> Configured:
        """Return what a verb has that needs a configuration."""
        return Configured(
            loaded=self.loaded, selection=self.selection, relocations=self.relocations
        )

    def tell(self, text: str) -> None:
        """Tell what users should know; by whom they learn it may change meanwhile."""
        self.notice(text)

    def _trace(self, text: str) -> None:
        """Pass on what was run or asked, without the secrets that are known by then."""
        self.debug(self.secrets.redacted(text))
