"""What one command was told, read once: its options, the environment, the configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cto import assets, storage
from cto.cli.streams import piped

if TYPE_CHECKING:
    from cto.catalog import Catalog
    from cto.config.load import Installed, Loaded
    from cto.config.sections import ClusterSettings
    from cto_airgap.bundle import BundleSource

# Where Kubernetes mounts it: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """What the command line says about the configuration and the cluster.

    Attributes:
        flags: Path in the configuration -> the flag that gives it, and its value.
        files: Configuration files in the order of the command line; `-` is stdin.
        kubeconfig: Instead of the usual one.
        non_interactive: Never ask.
        yes: Take every confirmation as given.
        charts: Folder to take charts from.
        tools: Folder to take programs from.
        bundle: Folder of a bundle to take charts and images from.
        ca_file: Certificates to trust besides the usual ones.
        allow_downgrade: Go back to older charts and definitions.
        may_replace: Delete and make again what cannot be changed.
    """

    flags: Mapping[str, tuple[str, str | tuple[str, ...]]] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    kubeconfig: Path | None = None
    non_interactive: bool = False
    yes: bool = False
    charts: Path | None = None
    tools: Path | None = None
    bundle: Path | None = None
    ca_file: Path | None = None
    allow_downgrade: bool = False
    may_replace: bool = False

    @property
    def values(self) -> Mapping[str, str | tuple[str, ...]]:
        """Path in the configuration -> the value that a flag gives."""
        return {path: value for path, (_, value) in self.flags.items()}

    @property
    def names(self) -> Mapping[str, str]:
        """Path in the configuration -> the flag that gives it."""
        return {path: flag for path, (flag, _) in self.flags.items()}


@dataclass(frozen=True)
class CommandSettings:
    """Everything that a command was told, and where its files are.

    Attributes:
        env: The environment of the process.
        root: The folder with bundle, templates and profiles.
        docker_socket: Where Docker listens, unless somebody names another place.
        service_account: What Kubernetes gives to a pod, if this is one.
        loaded: The configuration; None for verbs that need none.
    """

    options: ClusterOptions
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = field(default_factory=assets.root)
    docker_socket: Path = Path("/var/run/docker.sock")
    service_account: Path = _SERVICE_ACCOUNT
    loaded: Loaded | None = None

    def configured(self, installed: Installed | None = None) -> CommandSettings:
        """Return these settings with the configuration.

        Args:
            installed: What was given to the installation that is there, if that is to count.

        Raises:
            ConfigError: With everything that is wrong with it.
        """
        from cto import catalog  # noqa: PLC0415 - slow to import, and status needs none
        from cto.config.load import load  # noqa: PLC0415 - as above

        loaded = load(
            flags=self.options.values,
            options=self.options.names,
            env=self.env,
            files=self.options.files,
            profiles=self.profiles,
            component_names=partial(catalog.names, self.bundle),
            stdin=piped,
            installed=installed,
        )
        return replace(self, loaded=loaded)

    @cached_property
    def cluster(self) -> ClusterSettings:
        """What flags, environment, files and profile say about the cluster, to every verb.

        Raises:
            ConfigError: CTO-1300, CTO-1301.
        """
        if self.loaded:
            return self.loaded.config.cluster
        from cto.config.load import load_cluster  # noqa: PLC0415 - as slow to import as all of it

        return load_cluster(
            flags=self.options.values,
            options=self.options.names,
            env=self.env,
            files=self.options.files,
            profiles=self.profiles,
            stdin=piped,
        )

    @property
    def bundle(self) -> Path:
        """The folder with components, pins and the lock; not the bundle at hand."""
        return self.root / "bundle"

    @property
    def profiles(self) -> Path:
        return self.root / "profiles"

    def catalog(self) -> Catalog:
        """Read all components, a user's own among them."""
        from cto import catalog  # noqa: PLC0415 - pydantic is slow to import

        flag = self.options.values.get("components_from", ())
        own = self.loaded.config.components_from if self.loaded else flag
        return catalog.load(self.bundle, map(Path, own))

    @property
    def cache(self) -> Path:
        return storage.CACHE.folder(self.env)

    @property
    def state(self) -> Path:
        return storage.STATE.folder(self.env)

    @cached_property
    def source(self) -> BundleSource | None:
        """The bundle that was named."""
        if self.options.bundle is None:
            return None
        from cto_airgap.bundle import BundleSource  # noqa: PLC0415 - most runs have none

        return BundleSource(self.options.bundle)

    @property
    def images(self) -> BundleSource | None:
        """The bundle that was named, if it has images."""
        return self.source if self.source and self.source.has_images else None

    @property
    def air_gapped(self) -> bool:
        """Whether nothing may be fetched from outside. Without a configuration, the bundle says."""
        said = self.loaded.config.air_gapped if self.loaded else None
        return bool(self.images) if said is None else said

    @property
    def has_docker(self) -> bool:
        from cto.adapters.docker import has_docker  # noqa: PLC0415 - `--help` need not wait for it

        return has_docker(self.env, self.docker_socket)

    @property
    def named_kubeconfig(self) -> str:
        """The kubeconfig that was named, and with it a cluster that is there; '' for none."""
        return str(self.options.kubeconfig or self.env.get("CTO_KUBECONFIG") or "")

    def kubeconfigs(self) -> Sequence[Path]:
        """Return the kubeconfig files to read, the one to write first."""
        from cto.adapters.kubernetes.kubeconfig import paths  # noqa: PLC0415 - as above

        if named := self.named_kubeconfig:
            return (Path(named).absolute(),)
        return paths(self.env, storage.home(self.env))
