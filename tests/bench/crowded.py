#!/usr/bin/env python3
"""Measures a run that finds nothing to do on an empty cluster, and on one that others crowd.

Both in one go on one simulated cluster: what counts is the ratio. Goals: 1.5 times the time, and
100 MiB. The processor time of the command is the steadier figure: a thousand simulated nodes keep
the machine busy by themselves, and so do others.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import machine, page
from bench.product import ROOT, Lab, Run
from cto.adapters.clock import SystemClock
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.objects import Manifest
from cto.ports import Access

CACHE = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
PACK = ROOT / "tests" / "lab" / "charts" / "pack.py"
GOAL_RATIO, GOAL_MIB = 1.5, 100.0
TEAMS = 50
AT_ONCE = 24
COUNTS = {"nodes": 1000, "pods": 5000, "definitions": 300, "secrets": 10000}
STATUS = ("status", "--provider", "kwok")
# Of a run: attribute, for people, unit.
FIGURES = (("seconds", "", "s"), ("cpu_s", ": processor time", "s"), ("own_mib", ": memory", "MiB"))


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
                page.say(f"{len(made)} {what} made in {time.monotonic() - begun:.0f} s")
    finally:
        cluster.close()


Samples = dict[str, list[Run]]
"""Runs of each command, see `ROWS`."""
LOADS: list[float] = []


def sample(lab: Lab, what: str, rounds: int) -> Samples:
    """Run each command so many times; a first run writes what the next ones need not."""
    subjects: dict[str, Callable[[], Run]] = {
        "re-run": lab.install,
        "status": lambda: lab.cto(*STATUS),
    }
    found: Samples = {}
    for name, subject in subjects.items():
        subject()
        found[name] = []
        for _ in range(rounds):
            LOADS.append(machine.load())
            found[name].append(subject())
        times = ", ".join(f"{run.seconds:.2f}" for run in found[name])
        page.say(f"{what}: {name}: {times} s; {_median(found[name], 'own_mib'):.0f} MiB")
    return found


def _median(runs: Sequence[Run], figure: str) -> float:
    return float(statistics.median(getattr(run, figure) for run in runs))


def section(options: argparse.Namespace, empty: Samples, crowded: Samples) -> str:
    """Return the part of docs/performance.md."""
    goals = [("figure", "must reach", "measured", ""), ("---",) * 4, *_goals(empty, crowded)]
    counts = ", ".join(f"{getattr(options, name)} {name}" for name in COUNTS)
    rows = [("medians", "", "samples"), ("---",) * 3, *_rows(empty, crowded)]
    return "\n".join(
        [
            f"## {page.CROWDED}",
            "",
            f"- {dt.datetime.now(tz=dt.UTC).date()}, {options.rounds} rounds, medians",
            *(f"- {key}: {value}" for key, value in machine.describe().items()),
            f"- load of the machine before a sample: {min(LOADS):.1f} to {max(LOADS):.1f}",
            f"- of others, in {TEAMS} namespaces: {counts}",
            "",
            *(f"| {' | '.join(cells)} |" for cells in goals),
            "",
            *(f"| {' | '.join(cells)} |" for cells in rows),
        ]
    )


def _ratio(empty: Samples, crowded: Samples, name: str, figure: str) -> float:
    return _median(crowded[name], figure) / _median(empty[name], figure)


def _goals(empty: Samples, crowded: Samples) -> Iterator[tuple[str, ...]]:
    ratio, mib = _ratio(empty, crowded, "re-run", "seconds"), _median(crowded["re-run"], "own_mib")
    again = "the same command again, against a cluster without others"
    yield again, f"≤ {GOAL_RATIO} times", f"{ratio:.2f} times", _word(good=ratio <= GOAL_RATIO)
    for name, text in (
        ("re-run", f"{again}: processor time"),
        ("status", "`cto status`: the same"),
    ):
        yield text, "", f"{_ratio(empty, crowded, name, 'cpu_s'):.2f} times", ""
    told = _word(good=mib <= GOAL_MIB)
    yield "memory of our process", f"≤ {GOAL_MIB:.0f} MiB", f"{mib:.0f} MiB", told


def _word(*, good: bool) -> str:
    return "reached" if good else "**missed**"


def _rows(empty: Samples, crowded: Samples) -> Iterator[tuple[str, ...]]:
    names = {"re-run": "`cto install` again, nothing changed", "status": "`cto status`"}
    for name, text in names.items():
        for what, samples in (("alone", empty), ("crowded", crowded)):
            for figure, more, unit in FIGURES:
                values = [getattr(run, figure) for run in samples[name]]
                shown = ", ".join(f"{value:.{2 if unit == 's' else 0}f}" for value in values)
                median = f"{statistics.median(values):.{2 if unit == 's' else 0}f} {unit}"
                yield f"{text}, {what}{more}", median, shown


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
    text = section(options, empty, crowded)
    print(text)
    if options.write:
        page.put(text, page.CROWDED)
    return 1 if "**missed**" in text else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure re-runs on a crowded cluster.")
    for name, number in COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"({number})")
    parser.add_argument("--rounds", type=int, default=3, help="samples of each (3)")
    parser.add_argument("--write", action="store_true", help="put it into docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
