"""kind as a program over a FakeDocker, and everything that the provider takes, wired together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cto.adapters.docker.container import DockerContainer
from cto.adapters.docker.host import DockerHost
from cto.adapters.kind.access import KindAccess
from cto.adapters.kind.marker import Marker
from cto.adapters.kind.program import KindProgram
from cto.adapters.kind.provider import Kind
from cto.objects import dump_yaml, load_yaml
from cto.ports import NodeOptions
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.docker import FakeDocker
from fakes.machine import FakeMachine
from fakes.runner import Call, FakeRunner, Reply

PORTS = {30080: 8080, 30300: 3000}
API_PORT = 40123
OPTIONS = NodeOptions(nodes=1, profile="minimal", cpu=4, memory_gib=8, disk_gib=20)
READY = {
    "apiVersion": "v1",
    "kind": "Node",
    "status": {"conditions": [{"type": "Ready", "status": "True"}]},
}
NODE = "kindest/node:v1.34.0"


def kubeconfig(cluster: str = "cto") -> str:
    name = f"kind-{cluster}"
    server = f"https://127.0.0.1:{API_PORT}"
    return dump_yaml(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {"client-key-data": "planted-key"}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        }
    )


@dataclass
class Supply:
    """Implements `ports.ImageSupply`; remembers what it was asked."""

    docker: FakeDocker
    asked: list[str] = field(default_factory=list)

    def check(self) -> None:
        self.asked.append("check")

    def node_image(self, progress: Callable[[str], None]) -> str:
        self.asked.append("node image")
        if self.docker.image(NODE) is None:
            self.docker.add_image(NODE)
        return NODE

    def join(self, cluster: str, network: str, nodes: Sequence[str]) -> None:
        self.asked.append(f"join {network}: {', '.join(nodes)}")

    def leave(self, cluster: str) -> None:
        self.asked.append(f"leave {cluster}")

    def leftovers(self) -> Sequence[str]:
        return ("left",)


@dataclass
class KindBench:
    """A machine with a Docker, a kind program and a user's home.

    Attributes:
        during: Called while kind makes the cluster, when its nodes are there.
        config: What kind was told last.
    """

    folder: Path
    docker: FakeDocker = field(default_factory=FakeDocker)
    clock: FakeClock = field(default_factory=FakeClock)
    during: Callable[[], None] = lambda: None
    config: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/bin"})
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.machine = FakeMachine(self.folder / "machine")
        (self.machine.root / "var/lib/docker").mkdir(parents=True)
        self.docker.info = replace(self.docker.info, host=self.machine.host.name)
        self.runner = FakeRunner()
        self.runner.on("kind", "create", reply=self.creates())
        self.runner.on("kind", "get", "kubeconfig", stdout=kubeconfig())
        self.supply = Supply(self.docker)
        self.cluster = FakeCluster()
        self.file = self.folder / "home" / ".kube" / "config"
        self.taken: set[int] = set()
        self.injected: dict[str, str] = {}

    def creates(self) -> Reply:
        stderr = 'Creating cluster "cto" ...\n • Preparing nodes 📦  ...\n ✓ Preparing nodes 📦\n'
        return Reply(stderr=stderr, effect=self._create)

    def marker(self) -> Marker:
        return Marker(self.docker, self.machine.host, "cto")

    def provider(self, **settings: Any) -> Kind:
        """Return the provider as a new run would make it."""
        program = KindProgram(
            self.runner,
            lambda: Path("/tools/kind"),
            lambda: "/tools/docker",
            cluster="cto",
            environ=self.environ,
            folder=self.folder / "state",
            injected=lambda: self.injected,
        )
        access = KindAccess(
            self.docker,
            program.kubeconfig,
            cluster="cto",
            clock=self.clock,
            host=self.machine.host,
            folder=self.folder / "state",
            shared=self.file,
            usual=settings.pop("usual", True),
            owner=settings.pop("owner", None),
            make_current=settings.pop("make_current", False),
        )
        values: dict[str, Any] = {
            "engine": self.docker,
            "docker_host": DockerHost(
                self.docker,
                self.machine.host,
                root=self.machine.root,
                is_free=lambda port: port not in self.taken,
            ),
            "program": program,
            "supply": self.supply,
            "access": access,
            "marker": self.marker(),
            "clock": self.clock,
            "connect": lambda access: self.cluster,
            "options": lambda: OPTIONS,
            "ports": PORTS,
            "kube_version": lambda: "v1.34.0",
        }
        return Kind(**{**values, **settings})

    def make(self, **settings: Any) -> Kind:
        """Make the cluster, and return the provider of a run after that."""
        self.makes(**settings)
        return self.provider(**settings)

    def makes(self, **settings: Any) -> Kind:
        """Make the cluster, and return the provider that did."""
        provider = self.provider(**settings)
        provider.provision(OPTIONS, self.said.append)
        return provider

    def add_node(self, name: str = "cto-control-plane", **changes: Any) -> DockerContainer:
        role = "control-plane" if name.endswith("control-plane") else "worker"
        labels = {"io.x-k8s.kind.cluster": "cto", "io.x-k8s.kind.role": role}
        bindings = {6443: API_PORT, **PORTS} if role == "control-plane" else {}
        node = DockerContainer(id="", name=name, labels=labels, bindings=bindings)
        return self.docker.add(replace(node, **{"networks": {"kind": "172.18.0.2"}, **changes}))

    def fail_creating(self, reply: Reply) -> None:
        """Let kind fail as it does: its network stays, its nodes do not."""

        def begin(_: Call) -> None:
            self._make_network()

        self.runner = FakeRunner().on("kind", "create", reply=replace(reply, effect=begin))

    def _make_network(self) -> None:
        if self.docker.network("kind") is None:
            self.docker.add_network("kind", "172.18.0.0/16")

    def _create(self, call: Call) -> None:
        self.config = load_yaml(call.stdin or "")
        self._make_network()
        mappings = self.config["nodes"][0]["extraPortMappings"]
        ports = {one["containerPort"]: one["hostPort"] for one in mappings}
        self.add_node(bindings={6443: API_PORT, **ports})
        self.during()
        names = ["cto-control-plane"]
        for number, _ in enumerate(self.config["nodes"][1:]):
            names.append(f"cto-worker{number + 1 if number else ''}")
            self.add_node(names[-1])
        profile = self.config["nodes"][0]["labels"]
        for name in names:
            meta = {"name": name, "labels": dict(profile)}
            self.cluster.add({**READY, "metadata": meta})
        Path(call.argv[call.argv.index("--kubeconfig") + 1]).write_text(json.dumps({}))
