#!/usr/bin/env python3
"""Measures a run that finds nothing to do on an empty cluster, and on one that others crowd.

Both in one go on one simulated cluster: what counts is the ratio. Goals: 1.5 times the time, and
100 MiB. The processor time of the command is the steadier figure: a thousand simulated nodes keep
the machine busy by themselves, and so do others.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from product import ROOT, Lab, Run

from cto.adapters.clock import SystemClock
from cto.adapters.cluster import KubeCluster
from cto.objects import Manifest
from cto.ports import Access

CACHE = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
PACK = ROOT / "tests" / "lab" / "charts" / "pack.py"
GOAL_RATIO, GOAL_MIB = 1.5, 100.0
TEAMS = 50
AT_ONCE = 24
STATUS = ("status", "--provider", "kwok")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def others(options: argparse.Namespace) -> Iterator[tuple[str, list[Manifest]]]:
    """Yield what crowds the cluster, in the order in which it can be made."""
    yield "namespaces", [_manifest("Namespace", f"team-{n}") for n in range(TEAMS)]
    yield "nodes", [_node(n) for n in range(options.nodes)]
    yield "definitions", [_definition(n) for n in range(options.definitions)]
    yield "secrets", [_in_team(n, _manifest("Secret", f"s-{n}")) for n in range(options.secrets)]
    yield "pods", [_in_team(n, _pod(n, options.nodes)) for n in range(options.pods)]


def _manifest(kind: str, name: str, api_version: str = "v1", **parts: object) -> Manifest:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **parts}


def _in_team(number: int, made: Manifest) -> Manifest:
    if made["kind"] == "Secret":
        made["stringData"] = {"token": f"{number:0200d}"}
    made["metadata"]["namespace"] = f"team-{number % TEAMS}"
    return made


def _node(number: int) -> Manifest:
    made = _manifest("Node", f"crowd-{number}")
    made["metadata"]["annotations"] = {"kwok.x-k8s.io/node": "fake"}
    made["metadata"]["labels"] = {"type": "kwok", "kubernetes.io/hostname": f"crowd-{number}"}
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    images = [{"names": [f"registry.example.com/image-{n}:1.0"], "sizeBytes": n} for n in range(20)]
    return {**made, "status": {"allocatable": room, "capacity": room, "images": images}}


def _definition(number: int) -> Manifest:
    group, kind = f"g{number}.example.com", f"Thing{number}"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": f"thing{number}s", "singular": f"thing{number}", "kind": kind}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    name, api = f"thing{number}s.{group}", "apiextensions.k8s.io/v1"
    return _manifest("CustomResourceDefinition", name, api, spec=spec)


def _pod(number: int, nodes: int) -> Manifest:
    asked = {"requests": {"cpu": "10m", "memory": "16Mi"}}
    container = {"name": "main", "image": "registry.example.com/image:1.0", "resources": asked}
    spec = {"nodeName": f"crowd-{number % max(nodes, 1)}", "containers": [container]}
    return _manifest("Pod", f"p-{number}", spec=spec)


def crowd(access: Access, groups: Iterable[tuple[str, list[Manifest]]]) -> None:
    cluster = KubeCluster(access, clock=SystemClock())
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for what, made in groups:
                begun = time.monotonic()
                for _ in pool.map(cluster.create, made):
                    pass
                say(f"{len(made)} {what} made in {time.monotonic() - begun:.0f} s")
    finally:
        cluster.close()


@dataclass(frozen=True)
class Figures:
    """Medians of one command's runs."""

    seconds: float
    cpu_s: float
    mib: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Figures:
        return cls(
            statistics.median(run.seconds for run in runs),
            statistics.median(run.cpu_s for run in runs),
            statistics.median(run.own_mib for run in runs),
        )

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s, {self.cpu_s:.2f} s of a processor, {self.mib:.0f} MiB"


def sample(lab: Lab, what: str, rounds: int) -> dict[str, Figures]:
    """Return what a re-run and a status take."""
    subjects: dict[str, Callable[[], Run]] = {
        "re-run": lab.install,
        "status": lambda: lab.cto(*STATUS),
    }
    runs = {name: [subject() for _ in range(rounds)] for name, subject in subjects.items()}
    found = {name: Figures.of(taken) for name, taken in runs.items()}
    for name, figures in found.items():
        each = ", ".join(f"{run.seconds:.2f}" for run in runs[name])
        say(f"{what}: {name} {figures} (seconds: {each}; load {os.getloadavg()[0]:.1f})")
    return found


def main() -> int:
    options = arguments()
    folder = Path(tempfile.mkdtemp(prefix="cto-bench-"))
    subprocess.run([sys.executable, str(PACK), "--out", str(folder / "charts")], check=True)
    lab = Lab(folder, CACHE / "tools", folder / "charts")
    try:
        access = lab.up()
        lab.install()
        empty = sample(lab, "empty", options.rounds)
        crowd(access, others(options))
        crowded = sample(lab, "crowded", options.rounds)
    finally:
        lab.down()
        shutil.rmtree(folder, ignore_errors=True)
    ratios = {name: crowded[name].seconds / empty[name].seconds for name in empty}
    for name, ratio in ratios.items():
        cpu = crowded[name].cpu_s / empty[name].cpu_s
        print(f"{name}: {ratio:.2f} times, {cpu:.2f} times the processor time", end="")
        print(f"; crowded {crowded[name]}; empty {empty[name]}")
    good = ratios["re-run"] <= GOAL_RATIO and crowded["re-run"].mib <= GOAL_MIB
    return 0 if good else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure re-runs on a crowded cluster.")
    for name, number in {"nodes": 1000, "pods": 5000, "definitions": 300, "secrets": 10000}.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"({number})")
    parser.add_argument("--rounds", type=int, default=3, help="samples of each (3)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
