"""What Docker knows: containers, networks, images and the daemon itself, as values.

`Engine` is what the adapters need of Docker. `adapters.docker.client` implements it with the docker
command line, `tests/fakes` in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cto.errors import CtoError
from cto.ports import Completed

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Publish:
    """A port of a container on the loopback address of Docker's host.

    Attributes:
        host_port: 0 lets Docker choose a free one, anew at each start of the container.
    """

    container_port: int
    host_port: int = 0


@dataclass(frozen=True, kw_only=True)
class ContainerSpec:
    """A container as it should be made.

    There are no bind mounts on purpose: Docker looks for their source on its own host, where the
    paths of our container do not exist.

    Attributes:
        image: A reference or an image id that the daemon has; it is never pulled here.
        entrypoint: Replaces the image's; '' keeps it.
        network: '' is Docker's default network.
        aliases: Further names in that network (not in the default one).
        restart: no, on-failure, always, unless-stopped.
        once: Docker removes it when it has ended, or could not be started.
        env: Beside what the image says, and in place of what docker's own configuration says.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    entrypoint: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    aliases: tuple[str, ...] = ()
    publish: tuple[Publish, ...] = ()
    restart: str = "no"
    once: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DockerContainer:
    """A container as it is.

    Attributes:
        id: The whole id.
        name: Without the slash that Docker puts before it.
        image: The reference it was made from.
        image_id: The digest of what it runs.
        state: created, running, paused, restarting, removing, exited or dead.
        exit_code: Of its last end.
        hostname: As it sees itself.
        networks: Its address in each of its networks, '' while it does not run.
        ports: DockerContainer port -> port on Docker's host, as published right now; empty while it
            does not run.
        bindings: The same as asked for when it was made; 0 is any.
        mounts: Path inside -> path on Docker's host, or the volume's name.
    """

    id: str
    name: str
    image: str = ""
    image_id: str = ""
    state: str = "running"
    exit_code: int = 0
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)
    bindings: Mapping[int, int] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def alive(self) -> bool:
        """Whether its processes are there, be they stopped for now: they may go on."""
        return self.state in ("running", "paused")

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> DockerContainer:
        """Read what `docker container inspect` says."""
        config, state = data.get("Config") or {}, data.get("State") or {}
        settings = data.get("NetworkSettings") or {}
        networks = settings.get("Networks") or {}
        return cls(
            id=data["Id"],
            name=str(data.get("Name", "")).removeprefix("/"),
            image=str(config.get("Image", "")),
            image_id=str(data.get("Image", "")),
            state=str(state.get("Status", "")),
            exit_code=int(state.get("ExitCode", 0)),
            hostname=str(config.get("Hostname", "")),
            labels=dict(config.get("Labels") or {}),
            networks={name: str(one.get("IPAddress", "")) for name, one in networks.items()},
            ports=_ports(settings.get("Ports") or {}),
            bindings=_ports((data.get("HostConfig") or {}).get("PortBindings") or {}),
            mounts={
                str(mount["Destination"]): str(mount.get("Name") or mount.get("Source", ""))
                for mount in data.get("Mounts") or ()
            },
        )


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network. `subnets` are its address ranges in CIDR form, `containers` names."""

    id: str
    name: str
    subnets: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Network:
        """Read what `docker network inspect` says."""
        ranges = (data.get("IPAM") or {}).get("Config") or ()
        return cls(
            id=data["Id"],
            name=data["Name"],
            subnets=tuple(str(one["Subnet"]) for one in ranges if one.get("Subnet")),
            containers=tuple(
                sorted(str(one.get("Name", "")) for one in (data.get("Containers") or {}).values())
            ),
        )


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image that the daemon has. `digests` are references with the digest they came by."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Image:
        """Read what `docker image inspect` says."""
        return cls(
            id=data["Id"],
            tags=tuple(data.get("RepoTags") or ()),
            digests=tuple(data.get("RepoDigests") or ()),
            labels=dict((data.get("Config") or {}).get("Labels") or {}),
        )


@dataclass(frozen=True, kw_only=True)
class Daemon:
    """The daemon that answers, as `docker info` tells.

    Attributes:
        endpoint: The address that was asked, e.g. `unix:///var/run/docker.sock`.
        id: Made when the daemon first started, and kept with its data.
        product: `Docker`, or what else speaks its language, e.g. `Podman`.
        host: The name of the machine it runs on.
        memory: Bytes.
        root: The folder on its host where its data lies.
        cgroup_version: 1 or 2; 0 if it does not say.
        storage_driver: `overlay2`, `overlayfs`, ...
        no_proxy: As it is set for the daemon.
    """

    endpoint: str
    id: str = ""
    product: str = "Docker"
    version: str = ""
    host: str = ""
    system: str = ""
    os_type: str = "linux"
    architecture: str = ""
    cpus: int = 0
    memory: int = 0
    root: str = ""
    cgroup_version: int = 0
    rootless: bool = False
    no_proxy: str = ""
    warnings: tuple[str, ...] = ()
    storage_driver: str = ""

    @classmethod
    def parse(cls, data: Mapping[str, Any], endpoint: str) -> Daemon:
        """Read what `docker info` says; Podman leaves out half of it."""
        options = data.get("SecurityOptions") or ()
        system = str(data.get("OperatingSystem", ""))
        return cls(
            endpoint=endpoint,
            id=str(data.get("ID", "")),
            product=_product(data),
            version=str(data.get("ServerVersion", "")),
            host=str(data.get("Name", "")),
            system=system,
            os_type=str(data.get("OSType", "")),
            architecture=str(data.get("Architecture", "")),
            cpus=int(data.get("NCPU") or 0),
            memory=int(data.get("MemTotal") or 0),
            root=str(data.get("DockerRootDir", "")),
            cgroup_version=int(data.get("CgroupVersion") or 0),
            rootless=any(option.startswith("name=rootless") for option in options),
            no_proxy=str(data.get("NoProxy", "")),
            warnings=tuple(data.get("Warnings") or ()),
            storage_driver=str(data.get("Driver", "")),
        )


class Engine(Protocol):
    """Docker.

    Every method raises PreflightError CTO-142x if no daemon answers, or it refuses us, and
    ToolError CTO-152x if it cannot do what was asked. Names are names or ids.
    """

    def daemon(self) -> Daemon:
        """Return what answers; it is asked once."""
        ...

    def containers(self, **labels: str) -> Sequence[DockerContainer]:
        """Return the containers with all these labels, running or not, sorted by name.

        Labels with dots are given as `**{"a.b": "c"}`; an empty value fits every value.
        """
        ...

    def container(self, name: str) -> DockerContainer | None:
        """Return one, None if there is none."""
        ...

    def first(self, *names: str) -> DockerContainer | None:
        """Return the first of these that is there; they are looked at in this order, one by one."""
        ...

    def own(self) -> DockerContainer | None:
        """Return the container that this process runs in, if this daemon runs it."""
        ...

    def create(self, spec: ContainerSpec) -> str:
        """Make a container without starting it, and return its id. Its image must be there.

        Raises:
            ToolError: CTO-1522, the name is taken. Of two that try at once, one wins.
        """
        ...

    def start(self, name: str) -> None:
        """Start it, or let it go on if it is paused; one that runs is left alone."""
        ...

    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        """Stop it; one that does not run, or is not there, is no error."""
        ...

    def remove(self, name: str) -> bool:
        """End and remove it with its anonymous volumes; False if there was none."""
        ...

    def keep_running(self, *names: str) -> None:
        """Let containers come back when Docker or the machine was restarted, until stopped."""
        ...

    def rename(self, name: str, new: str) -> None:
        """Rename it, in one step.

        Raises:
            ToolError: CTO-1522, the name is taken; CTO-1520, there is no such container.
        """
        ...

    def execute(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> Completed:
        """Run a program inside a running container, fed with `stdin`."""
        ...

    def logs(self, name: str, *, lines: int = 20) -> str:
        """Return the last lines that it wrote, '' if there is no such container."""
        ...

    def network(self, name: str) -> Network | None:
        """Return one, None if there is none."""
        ...

    def networks(self) -> Sequence[Network]:
        """Return all of them, by name."""
        ...

    def connect(self, network: str, name: str, *, aliases: Sequence[str] = ()) -> None:
        """Connect a container to a network; one that is connected is left as it is."""
        ...

    def disconnect(self, network: str, name: str) -> None:
        """Disconnect it; one that is not connected, or is gone, is no error."""
        ...

    def remove_network(self, name: str) -> bool:
        """Remove a network; False if there was none, or a running container is in it."""
        ...

    def image(self, reference: str) -> Image | None:
        """Return an image that the daemon has, None if it has not."""
        ...

    def pull(self, reference: str, *, timeout_s: float = 1800) -> Image:
        """Bring an image into the daemon.

        Raises:
            ToolError: CTO-1521, it cannot be had.
        """
        ...

    def tag(self, reference: str, new: str) -> None:
        """Give an image that is there another name."""
        ...

    def untag(self, reference: str) -> None:
        """Take a name away from an image, which goes with its last one; no name is no error."""
        ...


def _ports(bindings: Mapping[str, Any]) -> dict[int, int]:
    """Read Docker's `{"80/tcp": [{"HostIp": ..., "HostPort": "8080"}]}`; UDP is not ours."""
    return {
        int(port.split("/")[0]): int(hosts[0].get("HostPort") or 0)
        for port, hosts in bindings.items()
        if hosts and port.endswith("/tcp")
    }


def _product(data: Mapping[str, Any]) -> str:
    # Podman fills most fields like Docker, its own version included. Docker never leaves this one
    # empty, Podman always: pkg/api/handlers/compat/info.go there.
    return "Podman" if data.get("IndexServerAddress") == "" else "Docker"


class KnownContainers:
    """Implements `cto.holder.Containers`: what Docker tells of those that installers run in.

    Where it does not answer, nothing is known, and that is no error.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def own(self) -> str:
        try:
            found = self._engine.own()
        except CtoError:
            return ""
        return found.id if found else ""

    @property
    def daemon(self) -> str:
        try:
            return self._engine.daemon().id
        except CtoError:
            return ""

    def may_live(self, container: str) -> bool:
        try:
            there = self._engine.container(container)
        except CtoError:
            return True
        return there is not None and there.alive
