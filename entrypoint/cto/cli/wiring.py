"""Builds adapters, and nothing else does. What a verb needs is passed to it from here."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, NoReturn

from cto import __version__, assets, catalog, storage
from cto.adapters import scratch
from cto.adapters.clock import SystemClock
from cto.adapters.docker import HelperRunner, as_docker_reads
from cto.adapters.download import Downloader
from cto.adapters.helm import ChartResolver, HelmGuard, HelmReleases, chart_crds
from cto.adapters.host import Host
from cto.adapters.kubernetes import SERVICE_ACCOUNT, KubeCluster, LoginPrograms, Pod
from cto.adapters.kubernetes.kubeconfig import login_secrets, paths
from cto.adapters.process import ProcessRunner, become
from cto.adapters.tools import Tools
from cto.cli import clusters, ownimage
from cto.cli.bundled import KIND, BundledCharts, lacking
from cto.cli.describe import tell
from cto.cli.options import ClusterOptions
from cto.cli.output import Screen
from cto.cli.registries import LOGINS, login_files
from cto.cli.streams import piped
from cto.engine.definitions import CrdSource
from cto.engine.files import folder_checks
from cto.engine.installer import Installer, Loss, charts_of, secret_values
from cto.engine.lock import ClusterLock, at_work
from cto.engine.needs import needs_of
from cto.engine.nodes import Images
from cto.engine.planned import Known, hooks_of, known_of
from cto.engine.preflight import (
    REGISTRY,
    cluster_checks,
    profile_checks,
    removal_checks,
    skipped,
    supported,
)
from cto.engine.rbac import Rights
from cto.engine.rights import rights_of_removal
from cto.errors import ApiError, PreflightError
from cto.events import Event
from cto.holder import Containers, NoContainers
from cto.objects import Manifest, load_documents
from cto.plan.desired import DesiredState
from cto.plan.observed import Observed
from cto.plan.selection import Selection, select
from cto.plan.steps import ApplyCrds, Plan
from cto.ports import Access, Clock, Cluster, NodeOptions, Provider, Releases, Runner
from cto.redaction import Secrets
from cto.result import Check, CheckStatus

if TYPE_CHECKING:
    from cto.adapters.docker import Engine
    from cto.cli.relocating import Relocations
    from cto.config.load import Loaded
    from cto.config.sections import ClusterSettings as WishedCluster
    from cto.relocation import Relocation
    from cto_airgap.bundle import BundleSource
    from cto_airgap.logins import LoginFile, Logins, RegistryLogin
    from cto_airgap.session import Session
    from cto_airgap.web import Transport


# Where even the cluster's identity may not be read: the first look at it ends the run.
_UNSEEN = "unseen"


def _helm(runner: Runner, program: Callable[[], Path], access: Access, home: Path) -> Releases:
    return HelmReleases(runner, program, access, home=home)


def _port_is_free(port: int) -> bool:
    from cto.adapters.docker import port_is_free  # noqa: PLC0415 - most runs need no Docker

    return port_is_free(port)


@dataclass
class Wiring:
    """One command's adapters, made when they are needed.

    What has a default reaches outside; tests give fakes instead.

    Attributes:
        env: The environment of the process.
        notice: Told what users should know.
        debug: Told every command that is run and every request that is sent, and how each ended.
        listen: Told how downloads go.
        secrets: What must be shown nowhere, as far as it is known by then.
        root: The folder with bundle, templates and profiles.
        docker_socket: Where Docker listens, unless somebody names another place.
        service_account: What Kubernetes gives to a pod, if this is one.
        open_cluster: Opens the API; None reaches it.
        open_helm: Takes the runner, the program, the cluster and Helm's home.
        open_web: Takes certificates to trust besides the usual ones; None reaches outside.
        become: Replaces this process by a program.
        port_is_free: Tells whether nobody listens on a port of this machine's loopback address.
    """

    options: ClusterOptions
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    notice: Callable[[str], None] = lambda _: None
    debug: Callable[[str], None] = lambda _: None
    listen: Callable[[Event], None] = lambda _: None
    secrets: Secrets = field(default_factory=Secrets)
    clock: Clock = field(default_factory=SystemClock)
    host: Host = field(default_factory=Host)
    root: Path = field(default_factory=assets.root)
    docker_socket: Path = Path("/var/run/docker.sock")
    service_account: Path = SERVICE_ACCOUNT
    open_cluster: Callable[[Access, Clock], Cluster] | None = None
    open_helm: Callable[[Runner, Callable[[], Path], Access, Path], Releases] = _helm
    open_web: Callable[[Path | None], AbstractContextManager[Transport]] | None = None
    become: Callable[[Sequence[str], Mapping[str, str]], NoReturn] = become
    port_is_free: Callable[[int], bool] = _port_is_free

    # data

    @cached_property
    def catalog(self) -> catalog.Catalog:
        return catalog.load(self.root / "bundle")

    @cached_property
    def loaded(self) -> Loaded:
        from cto.cli import secrecy  # noqa: PLC0415 - slow to import, and status needs none
        from cto.config.load import load  # noqa: PLC0415 - as above

        loaded = load(
            flags=self.options.values,
            env=self.env,
            files=self.options.files,
            profiles=self.root / "profiles",
            component_names=partial(catalog.names, self.root / "bundle"),
            stdin=piped,
        )
        self.secrets.add(secrecy.secrets_of(loaded.config).values())
        secrecy.refuse_weak(loaded, secrecy.said_anyway(self, loaded.config))
        return loaded

    @cached_property
    def selection(self) -> Selection:
        """What the configuration asks for, whatever the cluster may have already."""
        return select(self.catalog, self.loaded.config)

    # folders

    @cached_property
    def cache(self) -> Path:
        return storage.CACHE.folder(self.env)

    @cached_property
    def state(self) -> Path:
        return storage.STATE.folder(self.env)

    @cached_property
    def spare(self) -> Path:
        """A folder that is gone after this run: for verbs that only look, where no other is.

        Raises:
            PreflightError: CTO-1485, no temporary file can be made either.
        """
        try:
            made = scratch.folder(
                self.host.pid, lambda pid: bool(self.host.started(pid)), prefix=scratch.RUN
            )
        except PreflightError as error:
            text = f"neither {self.cache} nor a temporary folder can be written"
            hint = (
                f"Have one of them made writable, or {storage.CACHE.elsewhere(self.env)}, TMPDIR."
            )
            raise PreflightError(error.code, text, details=error.message, hint=hint) from error
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return made

    def folder_checks(self, *, cache: int = 0, state: int | None = 0) -> Sequence[Check]:
        """Return whether the folders of a verb can be written, and have that many bytes left.

        Args:
            cache: Needed in the cache.
            state: Needed where clusters and locks are; None if the verb has nothing to do with it.
        """
        needed = {self.cache: cache} | ({} if state is None else {self.state: state})
        return folder_checks(needed, env=self.env)

    # adapters

    @cached_property
    def downloader(self) -> Downloader:
        mirror = self.env.get("CTO_MIRROR", "")
        return Downloader(
            self.cache / "downloads",
            mirror=mirror,
            offline=lambda: self.air_gapped,
            environ=self.env,
            ca_file=self.options.ca_file,
            progress=lambda event: self.listen(event),  # noqa: PLW0108 - it is set late
            log=self._trace,
            spare=lambda: self.spare / "downloads",
        )

    @cached_property
    def source(self) -> BundleSource | None:
        """The bundle that was named."""
        if self.options.bundle is None:
            return None
        from cto_airgap.bundle import BundleSource  # noqa: PLC0415 - most runs have none

        return BundleSource(self.options.bundle)

    @property
    def air_gapped(self) -> bool:
        """Whether nothing may be fetched from outside."""
        # Verbs that need no configuration have none to ask.
        wish = self.loaded.config.air_gapped if "loaded" in vars(self) else None
        return bool(self.source and self.source.has_images) if wish is None else wish

    @cached_property
    def tools(self) -> Tools:
        return Tools(
            self.root / "bundle",
            folder=self.options.tools,
            downloader=self.downloader,
            cache=self.cache / "tools",
            spare=lambda: self.spare / "tools",
        )

    @cached_property
    def runner(self) -> ProcessRunner:
        return ProcessRunner(log=self._trace, clock=self.clock, redact=self.secrets.redacted)

    @cached_property
    def charts(self) -> ChartResolver:
        return ChartResolver(
            self.downloader,
            self.root / "bundle",
            self.options.charts,
            self.cache / "charts",
            stock=BundledCharts(self.source, lambda text: self.notice(text)).find,  # noqa: PLW0108 - `notice` is set late
            instead=lambda component: ownimage.instead(self, [component]),
        )

    def templates(self) -> Releases:
        """Return Helm for rendering alone: it knows no cluster."""
        nowhere = Access(Path(os.devnull), "")
        home = self.cache / "helm" / "templates"
        return self.open_helm(self.runner, partial(self.tools.path, "helm"), nowhere, home)

    @contextmanager
    def session(
        self, ca_file: Path | None, logins: Mapping[str, RegistryLogin], stop: Flag
    ) -> Iterator[Session]:
        """Open connections to registries; log-ins before those that `docker login` keeps."""
        from cto_airgap.session import Session  # noqa: PLC0415 - most runs ask no registry

        with (self.open_web or self._web)(ca_file) as transport:
            yield Session(transport, self.logins(logins), self.clock, stop)

    def logins(self, given: Mapping[str, RegistryLogin]) -> Logins:
        """Return who knows whom to be at registries; its secrets are shown nowhere from now on."""
        from cto_airgap.logins import (  # noqa: PLC0415 - as above
            GivenLogins,
            Helpers,
            StoredLogins,
            parse_logins,
        )

        files = [_logins(file) for file in login_files(self.env)]
        if text := self.env.get(LOGINS):
            files.insert(0, parse_logins(as_docker_reads(text), LOGINS))
        for login in (*given.values(), *(one for f in files for one in f.auths.values())):
            self.secrets.add(login.secrets)
        asking = HelperRunner(
            self.runner,
            lambda text: self.notice(text),  # noqa: PLW0108 - it is set late
            self.secrets.add,
        )
        return GivenLogins(given, StoredLogins(files, Helpers(asking, self.env)))

    @cached_property
    def relocations(self) -> Relocations | None:
        """Where images come from, if the configuration names a registry of the user's own."""
        if self.loaded.config.registry.type == "local":
            return None
        from cto.cli.relocating import relocations  # noqa: PLC0415 - slow to import

        folder = self.root / "bundle"
        return relocations(self.loaded, self.selection.managed, folder, self.options.bundle)

    @property
    def moved(self) -> Mapping[str, Relocation]:
        """What the manifests of components go through, for the sake of such a registry."""
        return self.relocations.by_component if self.relocations else {}

    def _web(self, ca_file: Path | None) -> AbstractContextManager[Transport]:
        from cto_airgap.web import WebTransport  # noqa: PLC0415 - requests is slow to import

        agent = f"cto/{__version__}"
        return WebTransport(ca_file=ca_file, user_agent=agent, environ=self.env, log=self._trace)

    @property
    def is_free(self) -> Callable[[int], bool] | None:
        """What tells free ports of the user's machine; None where that is not this one."""
        return None if self.host.in_container else self.port_is_free

    def connect(self, access: Access) -> Cluster:
        self.secrets.add(login_secrets(access.kubeconfig))
        if self.open_cluster:
            return self.open_cluster(access, self.clock)
        programs = LoginPrograms(
            self.runner,
            lambda text: self.notice(text),  # noqa: PLW0108 - it is set late
            self.secrets.add,
        )
        return KubeCluster(access, clock=self.clock, log=self._trace, programs=programs)

    # clusters

    @cached_property
    def kwok(self) -> Provider:
        return clusters.kwok(self)

    @cached_property
    def docker(self) -> Engine:
        from cto.cli import containers  # noqa: PLC0415 - other clusters need none of it

        return containers.engine(self)

    def lock(
        self,
        cluster: Cluster,
        *,
        notice: Callable[[str], None],
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> ClusterLock:
        """Return the lock of a cluster; it is not taken yet."""
        return ClusterLock(
            cluster,
            self.clock,
            self.host,
            containers=self._containers(),
            notice=notice,
            on_lost=on_lost,
        )

    def _containers(self) -> Containers:
        if not clusters.has_docker(self.env, self.docker_socket):
            return NoContainers()
        from cto.cli import containers  # noqa: PLC0415 - as above

        return containers.known(self)

    @cached_property
    def kind(self) -> Provider:
        from cto.cli import containers  # noqa: PLC0415 - as above

        return containers.kind(self)

    @cached_property
    def wish(self) -> WishedCluster:
        return clusters.wish(self)

    def provider(self) -> Provider:
        """Return where the cluster of an installation comes from."""
        return clusters.chosen(self)

    def existing(self) -> Provider:
        """Return the cluster that is there, for verbs that need no configuration."""
        return clusters.there(self)

    def made(self) -> Provider:
        """Return the provider whose cluster is to be deleted."""
        return clusters.made(self)

    def kubeconfigs(self) -> Sequence[Path]:
        """Return the kubeconfig files to read, the one to write first."""
        given = self.options.kubeconfig or self.env.get("CTO_KUBECONFIG")
        if given:
            return (Path(given).absolute(),)
        return paths(self.env, storage.home(self.env))

    @cached_property
    def pod(self) -> Pod:
        return Pod(self.env, self.service_account)

    def node_options(self) -> NodeOptions:
        config, profile = self.loaded.config, self.loaded.profile
        return NodeOptions(
            nodes=config.cluster.nodes,
            profile=profile.name,
            cpu=profile.cpu,
            memory_gib=profile.memory_gb,
            disk_gib=profile.disk_gb,
        )

    def simulation(self) -> Sequence[Manifest]:
        """Return what simulated nodes need to know."""
        seconds = int(self.env.get("CTO_KWOK_POD_READY_SECONDS", "0") or 0)
        from cto.render import Renderer  # noqa: PLC0415 - jinja2 is slow to import

        renderer = Renderer({"pod_ready_seconds": seconds}, env={})
        folder = self.root / "templates" / "kwok"
        files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yaml.j2")])
        return [item for file in files for item in load_documents(renderer.text(file))]

    # verbs

    def fetch(self) -> None:
        """Get helm and every chart: what cannot be had is told before anything is made."""
        self.relocations  # noqa: B018 - images without a digest are among that
        charts_of(self.selection, self.charts.resolve)
        self.tools.path("helm")

    @contextmanager
    def installer(
        self, provider: Provider, access: Access, screen: Screen, *, configured: bool = True
    ) -> Iterator[Installer]:
        """Open everything that a verb needs of one cluster, and close it at the end."""
        if configured:
            self._refuse_weak(access)
        cluster = self.connect(access)
        with ExitStack() as stack:
            stack.callback(clusters.close, cluster)
            uid = self._uid(cluster)
            guard = HelmGuard(self.state / "locks" / f"{uid}.helm", self.clock)
            stack.callback(guard.close)
            runner = ProcessRunner(
                log=self._trace,
                clock=self.clock,
                keep_fds=lambda: guard.descriptors,
                guard=self._is_secret if configured else None,
                redact=self.secrets.redacted,
            )
            stack.callback(runner.stop)
            home = self.cache / "helm" / uid
            # Looked for when it is called: a status seldom needs it.
            program = partial(self.tools.path, "helm")
            helm = self.open_helm(runner, program, access, home)

            def crds_of(step: ApplyCrds) -> Sequence[Manifest]:
                return chart_crds(
                    step.release, step.crds, helm, self.cache / "crds", cluster.server_version()
                )

            yield Installer(
                catalog=self.catalog,
                config=self.loaded.config if configured else None,
                selection=self.selection if configured else None,
                base=self.loaded.profile.base if configured else "",
                provider=provider.name,
                creates_cluster=provider.creates,
                resizes_cluster=provider.resizes,
                context=access.context,
                version=__version__,
                env=self.env,
                cluster=cluster,
                releases=helm,
                runner=runner,
                clock=self.clock,
                charts=self.charts.resolve,
                crds_of=crds_of,
                at_work=lambda: at_work(cluster, self.host, self._containers),
                lock=lambda lost: self._lock(cluster, guard, screen, lost),
                preflight=lambda observed, wish, plan: self._preflight(
                    cluster, observed, wish, plan, crds_of=crds_of, releases=helm
                ),
                removal_checks=lambda plan, observed: self._may_remove(
                    cluster, helm, plan, observed
                ),
                listen=screen.listen,
                on_checks=lambda checks: self._tell(checks, screen),
                relocations=self.moved if configured else {},
                ports=provider.published() if configured else {},
                lacking=lacking(self, provider.name),
                allow_downgrade=self.options.allow_downgrade,
            )

    def _uid(self, cluster: Cluster) -> str:
        """Return what tells clusters apart; who may not see it learns of all that is missing."""
        try:
            return cluster.uid()
        except ApiError as error:
            if error.is_forbidden:
                return _UNSEEN
            raise

    @contextmanager
    def _lock(
        self, cluster: Cluster, guard: HelmGuard, screen: Screen, lost: Loss
    ) -> Iterator[Callable[[], bool]]:
        def on_lost(reason: str) -> None:
            screen.notice(reason, warning=True)
            lost.error = lock.loss
            lost.set()

        lock = self.lock(cluster, notice=screen.notice, on_lost=on_lost)
        with lock, guard.held(screen.notice):
            yield lock.is_held

    def _tell(self, checks: Sequence[Check], screen: Screen) -> None:
        """Show what is no reason to stop, and what was left out because the user wants it so."""
        skipped = self.wish.skip_preflight
        tell(
            screen.notice,
            [c for c in checks if c.status is CheckStatus.WARNING or c.name in skipped],
        )

    def _preflight(
        self,
        cluster: Cluster,
        observed: Observed,
        wish: DesiredState,
        plan: Plan,
        *,
        crds_of: CrdSource,
        releases: Releases,
    ) -> Sequence[Check]:
        known = known_of(plan, observed, cluster, crds_of, releases)
        needs = needs_of(wish, supported(self.root / "bundle"), known)
        # Of what could not be observed, nothing is known.
        seen = observed if observed.namespaces else None
        needs = replace(needs, seen=seen, images=self._images)
        skip = self.loaded.config.cluster.skip_preflight
        checks = cluster_checks(cluster, needs, clock=self.clock, skip=skip)
        if not self.loaded.names_profile:
            installed = observed.state.profile if observed.state else ""
            checks = (*checks, *profile_checks(installed, wish.profile))
        # Nodes of a cluster that was made in Docker pull from the bundle.
        bundled = wish.provider == KIND and self.source and self.source.has_images
        if not (observed.simulated or bundled):
            checks = (*checks, *ownimage.checks(wish))
        if REGISTRY.name in skip:
            return (*checks, skipped(REGISTRY))
        return (*checks, *self._image_checks(cluster))

    def _may_remove(
        self, cluster: Cluster, releases: Releases, plan: Plan, observed: Observed
    ) -> Sequence[Check]:
        def rights() -> Rights:
            return rights_of_removal(
                plan,
                observed,
                Known(steps=plan.steps, kinds=cluster.kinds(), namespaces=observed.namespaces),
                hooks=hooks_of(plan, releases),
                namespaces={component.namespace for component in self.catalog.components},
            )

        return removal_checks(cluster, rights, skip=self.wish.skip_preflight)

    @property
    def _images(self) -> Images:
        """For which machines the images are: those of the bundle, if they are taken from it."""
        if self.source and self.source.has_images:
            platform = self.source.platform
            return Images(frozenset([platform.architecture]), str(self.source.folder))
        return Images()

    def _image_checks(self, cluster: Cluster) -> Sequence[Check]:
        if self.relocations is None or not self.relocations.needed:
            return ()
        from cto.cli.imagecheck import checks  # noqa: PLC0415 - what it asks with is slow to import

        config = self.loaded.config
        if not config.registry.check:
            self.notice("images in the registry: not measured, registry.check is false")
            return ()
        password = secret_values(config, cluster, "registry.password").get("", "")
        trusted = config.registry.ca_file
        opened = partial(self.session, Path(trusted) if trusted else None)
        return checks(config.registry, password, self.relocations, opened)

    def _refuse_weak(self, access: Access) -> None:
        """Look once more: which cluster it is may only be known now."""
        from cto.cli import secrecy  # noqa: PLC0415 - status needs none

        secrecy.refuse_weak(self.loaded, (str(access.kubeconfig), access.context))

    def _trace(self, text: str) -> None:
        """Pass on what was run or asked, without the secrets that are known by then."""
        self.debug(self.secrets.redacted(text))

    def _is_secret(self, text: str) -> bool:
        return any(value in text for value in self._secrets)

    @cached_property
    def _secrets(self) -> tuple[str, ...]:
        """Values that must not appear in a command line."""
        from cto.cli import secrecy  # noqa: PLC0415 - as above

        return tuple(secrecy.secrets_of(self.loaded.config).values())


def _logins(path: Path) -> LoginFile:
    """Return the log-ins of docker's or podman's file, as docker reads it."""
    from cto_airgap.logins import parse_logins, read_logins  # noqa: PLC0415 - most runs ask no registry

    try:
        return parse_logins(as_docker_reads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeError):
        # It says what is wrong, if it is wrong that there is none.
        return read_logins(path)
