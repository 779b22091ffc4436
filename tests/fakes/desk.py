"""The command line at a desk where only the cluster, Helm, the clock and the machine are faked.

Configuration, catalog, charts, plans, engine, lock, guard and output are the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cto import assets
from cto.adapters.docker import Engine
from cto.adapters.download import Downloader
from cto.cli.output import Terminal
from cto.cli.root import cli
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.objects import Manifest, dump_yaml
from cto.ports import Clock, Provider
from cto_airgap.web import Transport
from fakes.cluster import FakeCluster
from fakes.components import definition
from fakes.controllers import make_ready
from fakes.handclock import HandClock
from fakes.machine import FakeMachine
from fakes.registry import FakeWeb
from fakes.releases import FakeReleases
from fakes.world import write_components

# A component beside the `web` of tests, that needs it.
API = definition(
    "api",
    """
depends_on: [web]
""",
)
CHART = "apiVersion: v2\nname: {name}\nversion: {version}\n"
_TOOLS = ("helm", "kubectl")


@dataclass
class Desk:
    """Everything that a command of `cto` touches, below one folder.

    Attributes:
        attended: Whether somebody sits there and can answer.
        kwok: Given, it is what `--provider kwok` takes instead of the true provider.
        downloader: Given, it fetches charts and programs instead of the true one.
        web: What registries are asked through; nobody answers by default.
        kind: The same of `--provider kind`; there is a Docker then.
        docker: Given, it is what answers at the socket.
        taken: Ports of this machine that somebody listens on.
    """

    folder: Path
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(controllers=[make_ready]))
    clock: Clock = field(default_factory=HandClock)
    env: dict[str, str] = field(default_factory=dict)
    attended: bool = False
    kwok: Provider | None = None
    downloader: Downloader | None = None
    web: Transport = field(default_factory=FakeWeb)
    kind: Provider | None = None
    docker: Engine | None = None
    taken: set[int] = field(default_factory=set)
    releases: FakeReleases = field(init=False)
    machine: FakeMachine = field(init=False)

    def __post_init__(self) -> None:
        self.releases = FakeReleases(self.cluster)
        self.machine = FakeMachine(self.folder / "machine")
        self.root = self.folder / "root"
        self.tools = self.folder / "tools"
        self.kubeconfig = self.folder / "kubeconfig"
        (self.root / "bundle").mkdir(parents=True)
        for name in ("profiles", "templates", "bundle/platform.yaml", "bundle/tools.yaml"):
            (self.root / name).symlink_to(assets.root() / name)
        self.tools.mkdir()
        for name in _TOOLS:
            (self.tools / name).write_text("#!/bin/false\n")
            (self.tools / name).chmod(0o755)
        self.contexts("test")
        self.cluster.add(node("one"))
        self.cluster.add(lease("one"))

    def contexts(self, *names: str) -> None:
        """Write a kubeconfig with these contexts."""
        write_kubeconfig(self.kubeconfig, *names)

    def component(
        self, text: str, files: Mapping[str, str] | None = None, *, crds: Sequence[Manifest] = ()
    ) -> None:
        """Add a component to the bundle, with a chart of our own beside it."""
        name = text.partition("name: ")[2].partition("\n")[0]
        given = {"component.yaml": text, "values.yaml.j2": "{}\n", **(files or {})}
        write_components(self.root / "bundle", {name: given})
        chart = self.root / "bundle" / "charts" / name
        (chart / "crds").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text(CHART.format(name=name, version="1.0.0"))
        for number, crd in enumerate(crds):
            (chart / "crds" / f"{number}.yaml").write_text(dump_yaml(crd))

    def cto(self, *arguments: str, answer: str = "", existing: bool = True) -> Result:
        """Run a command, on the existing cluster if nothing else is said."""
        where = ("--kubeconfig", str(self.kubeconfig)) if existing else ()
        argv = [*arguments, *where, "--tools", str(self.tools)]
        return CliRunner().invoke(
            cli,
            argv,
            obj=Terminal(wiring=self._wiring, attended=lambda: self.attended),
            input=answer,
            env={"CTO_CHARTS": "", "CTO_TOOLS": "", "CTO_DEBUG": "", "TERM": "dumb"},
            prog_name="cto",
        )

    def document(self, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
        """Run a command with `--output json` and return the document."""
        result = self.cto(*arguments, "--output", "json", **settings)
        assert result.exit_code == code, result.output
        document: dict[str, Any] = json.loads(self.placeless(result.stdout))
        return document

    def placeless(self, text: str) -> str:
        """Return a text without the name of the folder."""
        return text.replace(str(self.folder), "DESK")

    def _wiring(self, options: ClusterOptions) -> Wiring:
        home = {name: str(self.folder / name.lower()) for name in ("HOME", "XDG_RUNTIME_DIR")}
        env = {
            **home,
            "CTO_CACHE_DIR": str(self.folder / "cache"),
            "CTO_STATE_DIR": str(self.folder / "state"),
            **self.env,
        }
        socket = self.folder / "docker.sock"
        made = Wiring(
            CommandSettings(options, env=env, root=self.root, docker_socket=socket),
            clock=self.clock,
            host=self.machine.host,
            open_cluster=lambda access, clock: self.cluster,
            open_helm=lambda runner, program, access, home: self.releases,
        )
        made.port_is_free = lambda port: port not in self.taken
        made.open_web = lambda ca_file: nullcontext(self.web)
        if self.downloader:
            made.downloader = self.downloader
        if self.kwok:
            made.providers["kwok"] = self.kwok
        if self.kind:
            socket.touch()
            made.providers["kind"] = self.kind
        if self.docker:
            socket.touch()
            (self.tools / "docker").touch(mode=0o755)
            made.docker = self.docker
        return made


def write_kubeconfig(file: Path, *contexts: str) -> Path:
    """Write a kubeconfig whose contexts lead nowhere."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": n, "cluster": {"server": "https://192.0.2.1"}} for n in contexts],
        "users": [{"name": n, "user": {"token": "planted-token"}} for n in contexts],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n in contexts],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dump_yaml(document))
    return file


def node(name: str, *, simulated: bool = False) -> Manifest:
    """Return a node that is ready and has room."""
    mark = {"kwok.x-k8s.io/node": "fake"} if simulated else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": mark},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "8", "memory": "16Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def lease(name: str, renewed: str = "2030-01-02T03:04:00.000000Z") -> Manifest:
    """Return what a node's kubelet keeps; renewed just now, as a fake cluster's clock goes."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed},
    }
