"""What is measured: the product's command line, and the clusters that it makes for everybody.

The only part of the bench that imports the product.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.machine import Memory
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.objects import Manifest
from cto.plan.steps import ApplyCrds, ApplyRelease, EnsureNamespace, Plan
from cto.ports import Access

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PROFILE = "production"
READY_S = 8


@dataclass(frozen=True)
class Run:
    """One run of `cto`."""

    seconds: float
    data: Mapping[str, Any]
    own_mib: float = 0.0
    tree_mib: float = 0.0
    cpu_s: float = 0.0

    @property
    def plan_to_ready_s(self) -> float:
        """How long it took from when charts and cluster were there."""
        cluster = self._steps["cluster"]
        begun = cluster["started_seconds"] + cluster["seconds"]
        return float(self.data["report"]["seconds"] - begun)

    @property
    def cluster_s(self) -> float:
        """How long the cluster took."""
        return float(self._steps["cluster"]["seconds"])

    @property
    def _steps(self) -> Mapping[str, Any]:
        return {step["id"]: step for step in self.data["report"]["steps"]}


@dataclass(frozen=True)
class Item:
    """What both sides install for a component."""

    name: str
    release: str
    namespace: str
    chart: Path
    values: Path
    crds: Path | None
    after: tuple[str, ...]


class Silent:
    """A screen that nobody looks at."""

    def listen(self, event: object) -> None:
        pass

    def notice(self, text: str, *, warning: bool = False) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass
class Lab:
    """Clusters, and `cto` on them. Nothing outside of the folder is touched."""

    folder: Path
    tools: Path
    charts: Path
    namespaces: list[Manifest] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "home").mkdir(parents=True, exist_ok=True)
        self._wiring: Wiring | None = None

    @property
    def env(self) -> dict[str, str]:
        # Installed packages are compiled: no user compiles them anew for each command.
        foreign = ("CTO_", "KUBE", "HELM_", "KWOK_", "PYTHONDONTWRITEBYTECODE")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "CTO_STATE_DIR": str(self.folder / "state"),
            "CTO_CACHE_DIR": str(self.folder / "cache"),
            "CTO_TOOLS": str(self.tools),
            "CTO_CHARTS": str(self.charts),
            "CTO_KWOK_POD_READY_SECONDS": str(READY_S),
            "KUBECONFIG": str(self.folder / "kubeconfig"),
        }

    # clusters

    def up(self) -> Access:
        """Make a cluster."""
        flags = {"cluster.provider": ("--provider", "kwok"), "profile": ("--profile", PROFILE)}
        options = ClusterOptions(
            flags=flags, tools=self.tools, charts=self.charts, non_interactive=True
        )
        self._wiring = Wiring(CommandSettings(options, env=self.env))
        self._wiring.configure()
        return self._wiring.provider("kwok").provision(self._wiring.node_options(), lambda _: None)

    def down(self) -> None:
        flags = {"cluster.provider": ("--provider", "kwok")}
        wiring = self._wiring or Wiring(
            CommandSettings(ClusterOptions(flags=flags, tools=self.tools), self.env)
        )
        wiring.provider("kwok").destroy()
        self._wiring = None

    def plan(self, access: Access) -> tuple[Plan, list[Item]]:
        """Return what `cto install` would do on an empty cluster, and the same for Helm alone."""
        assert self._wiring is not None
        wiring = self._wiring
        with wiring.installer(wiring.provider("kwok"), access, Silent()) as installer:
            plan = installer.plan_install()
            crds = {
                step.component: installer.crds_of(step)
                for step in plan.steps
                if isinstance(step, ApplyCrds)
            }
        self.namespaces = [s.manifest for s in plan.steps if isinstance(s, EnsureNamespace)]
        components = {component.name: component for component in plan.components}
        return plan, [
            self._item(step, crds.get(step.component, ()), components[step.component].depends_on)
            for step in plan.steps
            if isinstance(step, ApplyRelease)
        ]

    def _item(self, step: ApplyRelease, crds: Sequence[Manifest], after: Sequence[str]) -> Item:
        folder = self.folder / "inputs"
        folder.mkdir(exist_ok=True)
        spec = step.release
        values = folder / f"{step.component}.values.json"
        values.write_text(json.dumps(spec.values), encoding="utf-8")
        file = folder / f"{step.component}.crds.json"
        listed = {"apiVersion": "v1", "kind": "List", "items": list(crds)}
        file.write_text(json.dumps(listed), encoding="utf-8")
        return Item(
            name=step.component,
            release=spec.name,
            namespace=spec.namespace,
            chart=spec.chart.path,
            values=values,
            crds=file if crds else None,
            after=tuple(after),
        )

    # the product

    def cto(self, *arguments: str) -> Run:
        """Run a command, and see it end well."""
        argv = [str(BIN / "cto"), *arguments, "--output", "json"]
        log = self.folder / "log"
        out = self.folder / "out"
        with log.open("w") as stderr, out.open("w") as stdout:
            begun, used = time.monotonic(), _cpu_s()
            child = subprocess.Popen(
                argv, env=self.env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
            )
            with Memory(child.pid) as memory:
                code = child.wait(timeout=600)
                seconds = time.monotonic() - begun
        if code:
            text = log.read_text(encoding="utf-8")
            raise RuntimeError("\n".join([f"exit {code}: {' '.join(argv)}", text[-4000:]]))
        data = json.loads(out.read_text(encoding="utf-8"))["data"]
        return Run(seconds, data, memory.own_mib, memory.tree_mib, _cpu_s() - used)

    def install(self) -> Run:
        return self.cto("install", "--provider", "kwok", "--profile", PROFILE)

    def time(self, *argv: str) -> float:
        """Return how long a short command takes."""
        begun = time.monotonic()
        subprocess.run(argv, env=self.env, check=True, capture_output=True, timeout=60)
        return time.monotonic() - begun


def _cpu_s() -> float:
    """Return the processor time of all programs that were run to their end."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
