"""Docker in memory: `adapters.docker.Engine`, as tests/contract/test_docker.py holds it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from cto.adapters.docker.container import ContainerSpec, Daemon, DockerContainer, Image, Network
from cto.errors import CtoError, ToolError
from cto.ports import Completed

Program = Callable[[DockerContainer, tuple[str, ...], str | None], tuple[int, str]]


def _nothing(
    container: DockerContainer, argv: tuple[str, ...], stdin: str | None
) -> tuple[int, str]:
    del container, argv, stdin
    return 0, ""


@dataclass
class FakeDocker:
    """A daemon.

    Attributes:
        info: What it says of itself.
        fails: Raised by every call, as long as it is there.
        inside: The name of the container that the installer runs in.
        busy: Ports of the host that somebody else has.
        program: What runs in a container: gives the return code and what it writes.
        images: What the daemon has.
        remote: What it could pull.
        executed: (container, argv, stdin) of every program that was run.
        pulled: References in their order.
        kept: Containers that come back after a restart.
        environments: What each container was told besides its image's.
    """

    info: Daemon = field(
        default_factory=lambda: Daemon(
            endpoint="unix:///var/run/docker.sock",
            id="daemon-1",
            version="26.1.5",
            host="elsewhere",
            cpus=8,
            memory=32 << 30,
            root="/var/lib/docker",
            cgroup_version=2,
        )
    )
    fails: CtoError | None = None
    inside: str = ""
    busy: set[int] = field(default_factory=set)
    program: Program = _nothing
    images: dict[str, Image] = field(default_factory=dict)
    remote: set[str] = field(default_factory=set)
    executed: list[tuple[str, tuple[str, ...], str | None]] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    environments: dict[str, Mapping[str, str]] = field(default_factory=dict)
    _containers: dict[str, DockerContainer] = field(default_factory=dict)
    _networks: dict[str, Network] = field(default_factory=dict)
    _once: set[str] = field(default_factory=set)
    _aliases: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _addresses: itertools.count[int] = field(default_factory=lambda: itertools.count(2))

    def __post_init__(self) -> None:
        for name in ("bridge", "host", "none"):
            subnets = ("172.17.0.0/16",) if name == "bridge" else ()
            self._networks[name] = Network(id=self._new_id(), name=name, subnets=subnets)

    # what only tests do

    def add(self, container: DockerContainer) -> DockerContainer:
        """Add a container that somebody else made."""
        made = replace(container, id=container.id or self._new_id())
        self._containers[made.id] = made
        return made

    def add_image(self, reference: str) -> Image:
        image = Image(id=f"sha256:{sha256(reference.encode()).hexdigest()}", tags=(reference,))
        self.images[reference] = image
        return image

    def add_network(self, name: str, *subnets: str) -> Network:
        self._networks[name] = Network(id=self._new_id(), name=name, subnets=subnets)
        return self._networks[name]

    def names(self) -> list[str]:
        return sorted(one.name for one in self._containers.values())

    def stop_all(self) -> None:
        """Restart the daemon, without what would come back."""
        for one in list(self._containers.values()):
            self._set(one, state="exited", networks=dict.fromkeys(one.networks, ""), ports={})

    def pause(self, name: str) -> None:
        self._set(self._need(name, "pause"), state="paused")

    # Engine

    def daemon(self) -> Daemon:
        self._check()
        return self.info

    def containers(self, **labels: str) -> Sequence[DockerContainer]:
        self._check()
        found = [
            one
            for one in self._containers.values()
            if all(
                name in one.labels and (not value or one.labels[name] == value)
                for name, value in labels.items()
            )
        ]
        return sorted(found, key=lambda one: one.name)

    def container(self, name: str) -> DockerContainer | None:
        return self.first(name)

    def first(self, *names: str) -> DockerContainer | None:
        self._check()
        for name in names:
            for one in self._containers.values():
                if one.name == name or (len(name) >= 12 and one.id.startswith(name)):
                    return one
        return None

    def own(self) -> DockerContainer | None:
        return self.container(self.inside) if self.inside else None

    def create(self, spec: ContainerSpec) -> str:
        self._check()
        if self.container(spec.name):
            raise ToolError("CTO-1522", f"docker create {spec.name}: the name is taken")
        image = self.image(spec.image)
        if image is None:
            raise ToolError(
                "CTO-1520", f"docker create {spec.name} failed", details="No such image"
            )
        if spec.network and spec.network not in self._networks:
            raise ToolError("CTO-1520", f"docker create {spec.name} failed", details="no network")
        identity = self._new_id()
        network = spec.network or "bridge"
        self._aliases[identity, network] = spec.aliases
        self.environments[spec.name] = spec.env
        self._containers[identity] = DockerContainer(
            id=identity,
            name=spec.name,
            image=spec.image,
            image_id=image.id,
            state="created",
            hostname=identity[:12],
            labels=dict(spec.labels),
            networks={network: ""},
            bindings={port.container_port: port.host_port for port in spec.publish},
        )
        if spec.restart in ("always", "unless-stopped"):
            self.kept.add(spec.name)
        if spec.once:
            self._once.add(identity)
        return identity

    def start(self, name: str) -> None:
        one = self._need(name, "start")
        if one.running:
            return
        if one.id in self._once:
            # What is asked for in the tests ends at once.
            self.remove(one.id)
        if taken := self.busy & set(one.bindings.values()):
            text = f"Bind for 127.0.0.1:{taken.pop()} failed: port is already allocated"
            raise ToolError("CTO-1520", f"docker start {name} failed", details=text)
        ports = {port: host or 32768 + port % 1000 for port, host in one.bindings.items()}
        networks = {network: self._address(network) for network in one.networks}
        if one.id not in self._once:
            self._set(one, state="running", ports=ports, networks=networks)

    def stop(self, name: str, *, timeout_s: int = 10) -> None:
        del timeout_s
        if one := self.container(name):
            self._set(one, state="exited", ports={}, networks=dict.fromkeys(one.networks, ""))

    def remove(self, name: str) -> bool:
        one = self.container(name)
        if one is None:
            return False
        del self._containers[one.id]
        return True

    def keep_running(self, *names: str) -> None:
        for name in names:
            self.kept.add(self._need(name, "update").name)

    def rename(self, name: str, new: str) -> None:
        one = self._need(name, "rename")
        if self.container(new):
            raise ToolError("CTO-1522", f"docker rename {name}: the name is taken")
        self._set(one, name=new)

    def execute(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        timeout_s: float = 60,
        check: bool = True,
    ) -> Completed:
        del timeout_s
        one = self._need(name, "exec")
        if not one.running:
            raise ToolError("CTO-1520", f"docker exec {name} failed", details="is not running")
        self.executed.append((one.name, tuple(argv), stdin))
        code, text = self.program(one, tuple(argv), stdin)
        if code and check:
            raise ToolError("CTO-1520", f"docker exec {name} failed", details=text)
        return Completed(tuple(argv), code, text, "", 0.0)

    def logs(self, name: str, *, lines: int = 20) -> str:
        del lines
        self.container(name)
        return ""

    def network(self, name: str) -> Network | None:
        self._check()
        found = self._networks.get(name)
        return self._filled(found) if found else None

    def networks(self) -> Sequence[Network]:
        self._check()
        return [self._filled(self._networks[name]) for name in sorted(self._networks)]

    def connect(self, network: str, name: str, *, aliases: Sequence[str] = ()) -> None:
        one = self._need(name, "network connect")
        if network in one.networks:
            return
        if network not in self._networks:
            raise ToolError("CTO-1520", f"docker network connect {network} {name} failed")
        self._aliases[one.id, network] = tuple(aliases)
        address = self._address(network) if one.running else ""
        self._set(one, networks={**one.networks, network: address})

    def disconnect(self, network: str, name: str) -> None:
        one = self.container(name)
        if one and network in one.networks:
            rest = {key: value for key, value in one.networks.items() if key != network}
            self._set(one, networks=rest)

    def remove_network(self, name: str) -> bool:
        found = self.network(name)
        if found is None or found.containers:
            return False
        del self._networks[name]
        return True

    def image(self, reference: str) -> Image | None:
        self._check()
        by_id = (one for one in self.images.values() if one.id == reference)
        return self.images.get(reference) or next(by_id, None)

    def pull(self, reference: str, *, timeout_s: float = 1800) -> Image:
        del timeout_s
        self._check()
        self.pulled.append(reference)
        if reference not in self.remote:
            raise ToolError("CTO-1521", f"docker pull {reference} failed", details="not found")
        return self.add_image(reference)

    def tag(self, reference: str, new: str) -> None:
        image = self.image(reference)
        if image is None:
            raise ToolError("CTO-1520", f"docker tag {reference} {new} failed")
        self.images[new] = image

    def untag(self, reference: str) -> None:
        self._check()
        self.images.pop(reference, None)

    def aliases(self, name: str, network: str) -> tuple[str, ...]:
        one = self.container(name)
        return self._aliases.get((one.id, network), ()) if one else ()

    def _check(self) -> None:
        if self.fails:
            raise self.fails

    def _new_id(self) -> str:
        return sha256(str(next(self._numbers)).encode()).hexdigest()

    def _address(self, network: str) -> str:
        return f"172.18.0.{next(self._addresses)}" if network not in ("host", "none") else ""

    def _need(self, name: str, verb: str) -> DockerContainer:
        one = self.container(name)
        if one is None:
            text = f"No such container: {name}"
            raise ToolError("CTO-1520", f"docker {verb} {name} failed", details=text)
        return one

    def _set(self, one: DockerContainer, **changes: object) -> None:
        self._containers[one.id] = replace(one, **changes)  # type: ignore[arg-type] # its fields

    def _filled(self, network: Network) -> Network:
        inside = (o.name for o in self._containers.values() if o.running)
        names = [n for n in inside if network.name in self._named(n).networks]
        return replace(network, containers=tuple(sorted(names)))

    def _named(self, name: str) -> DockerContainer:
        return next(one for one in self._containers.values() if one.name == name)
