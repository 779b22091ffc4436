"""One simulated cluster for all integration tests, made by the installer itself.

Marker `lab`: the tools are prepared by `make test`. Tests leave the cluster as they like: `fresh`
removes the platform before each test that asks for it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.kubernetes.kubeconfig import choose_access
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.ports import NodeOptions

from .essence import Essence, settled

ROOT = Path(__file__).resolve().parents[2]
_CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
TOOLS = (*_CONTROL_PLANE, "helm", "kubectl", "kwok", "kwokctl")
CONTEXT = "kwok-cto"
NODES = NodeOptions(nodes=1, profile="minimal", cpu=4, memory_gib=8)
INSIDE = Path(__file__).with_name("inside.yaml")
SMALL = Path(__file__).with_name("small.yaml")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: all of it needs the lab's tools."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> Iterator[None]:
    """Let children be interrupted, even where the tests run in a shell's background.

    Such a shell ignores SIGINT, and what is ignored stays ignored in every child.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass
class Lab:
    """Runs the real command line against its own cluster, state, cache and kubeconfig."""

    folder: Path
    tools: Path
    charts: Path
    runs: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CTO_", "KUBE", "HELM_"))}
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "CTO_STATE_DIR": str(self.folder / "state"),
            "CTO_CACHE_DIR": str(self.folder / "cache"),
            "CTO_TOOLS": str(self.tools),
            "CTO_CHARTS": str(self.charts),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
        }

    def argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "cto", *arguments]

    def popen(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        env = {**self.env, **settings.pop("env", {})}
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        return subprocess.Popen(
            self.argv(*arguments),
            env=env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            text=True,
            **settings,
        )

    def run(
        self,
        *arguments: str,
        code: int | None = 0,
        env: dict[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and see it end with the expected code; None for any."""
        done = subprocess.run(
            self.argv(*arguments),
            env={**self.env, **(env or {})},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        self.runs.append(done)
        shown = f"cto {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        assert code in (None, done.returncode), shown
        return done

    def data(self, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
        """Run a command with `--output json`; return what it says under `data`."""
        done = self.run(*arguments, "--output", "json", code=code, **settings)
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["simulated"] is True
        return {**document["data"], "error": document["error"]}

    def install(self, profile: str = "minimal", *arguments: str, **settings: Any) -> dict[str, Any]:
        return self.data(
            "install", "--provider", "kwok", "--profile", profile, *arguments, **settings
        )

    def helm(self, *arguments: str) -> str:
        cluster = ["--kubeconfig", self.env["KUBECONFIG"], "--kube-context", CONTEXT]
        argv = [str(self.tools / "helm"), *arguments, *cluster]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        cluster = ["--kubeconfig", self.env["KUBECONFIG"], "--context", CONTEXT]
        argv = [str(self.tools / "kubectl"), *arguments, *cluster]
        done = subprocess.run(argv, capture_output=True, text=True, input=stdin, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stderr}"
        return done.stdout

    def cluster(self) -> KubeCluster:
        access = choose_access([Path(self.env["KUBECONFIG"])], CONTEXT)
        return KubeCluster(access, clock=SystemClock())

    def is_vacant(self) -> bool:
        """Return whether nothing but a new cluster's own is there."""
        if not Path(self.env["KUBECONFIG"]).exists():
            return False
        names = self.kubectl("get", "namespaces,crds,apiservices", "-o", "name").split()
        namespaces = {name for name in names if name.startswith("namespace/")}
        crds = [name for name in names if name.startswith("customresource")]
        own = {f"namespace/{name}" for name in ("default", "kube-node-lease", "kube-public")}
        return namespaces == {*own, "namespace/kube-system"} and all("kwok" in n for n in crds)

    def forget(self) -> None:
        """Take the cluster away and make an empty one.

        That is quicker than a removal of the platform, and API servers grow and slow down with
        every CRD that comes and goes.
        """
        self.run("uninstall", "--cluster", "--yes", "--provider", "kwok")
        wiring = Wiring(CommandSettings(ClusterOptions(tools=self.tools), env=self.env))
        wiring.provider("kwok").provision(NODES, lambda _: None)


def tools_folder() -> Path:
    """Return the folder with the lab's programs; skip, and say why, if one is missing."""
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    missing = [name for name in TOOLS if not (cache / "tools" / name).exists()]
    if missing:
        pytest.skip(f"not in {cache / 'tools'}: {', '.join(missing)} (make test prepares them)")
    return cache / "tools"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "home").mkdir()
    charts = folder / "charts"
    pack = [sys.executable, str(ROOT / "tests/lab/charts/pack.py"), "--out", str(charts)]
    subprocess.run(pack, check=True, capture_output=True)
    made = Lab(folder, tools_folder(), charts)
    yield made
    made.run("uninstall", "--cluster", "--yes", "--provider", "kwok")


@pytest.fixture
def fresh(lab: Lab) -> Lab:
    """A cluster without the platform."""
    lab.forget()
    return lab


@pytest.fixture(scope="module")
def vacant(lab: Lab) -> Lab:
    """A cluster without the platform, and without what other tests made."""
    if not lab.is_vacant():
        lab.forget()
    return lab


@pytest.fixture(scope="session")
def undisturbed_essence(lab: Lab) -> Essence:
    """Return what an installation leaves that nothing disturbs: minimal, without node ports."""
    lab.forget()
    lab.install("minimal", "--config", str(INSIDE))
    return settled(lab.cluster())
