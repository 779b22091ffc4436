#!/usr/bin/env python3
"""Measures `cto` against Helm alone, side by side, and writes docs/performance.md.

Every sample of an installation gets a cluster of its own. The order changes from round to round,
so that a slow hour of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import figures as f
from bench import machine, page
from bench.baselines import NO_WAIT, WAIT, Baseline
from bench.product import BIN, ROOT, Item, Lab, Run

CACHE = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
BARE = ROOT / "tests" / "bench" / "bare.py"
# Of what takes parts of a second: one sample more or less costs nothing.
SHORT = 5


@dataclass
class Bench:
    """All subjects, and where their samples go."""

    lab: Lab
    samples: f.Samples
    patience_s: float
    items: Sequence[Item] = ()

    def prepare(self) -> None:
        """Render values and definitions once; this also fills the cache that users have."""
        page.say("rendering what all of them install")
        access = self.lab.up()
        try:
            _, self.items = self.lab.plan(access)
        finally:
            self.lab.down()

    def subjects(self, lanes: Sequence[int]) -> list[Callable[[], None]]:
        applies = [self._applying(n) for n in lanes]
        return [self.cto, self.helm_serial, self.helm_4, *applies, self.first]

    def measure(self, subject: Callable[[], None]) -> None:
        """Take a sample on a quiet machine."""
        load, quiet = machine.wait_until_quiet(self.patience_s)
        self.samples.loads.append(load)
        self.samples.restless += not quiet
        try:
            subject()
        finally:
            self.lab.down()

    # subjects

    def cto(self) -> None:
        access = self.lab.up()
        run = self._run(f.INSTALL, self.lab.install)
        self.samples.add(f.PLAN_TO_READY, run.plan_to_ready_s)
        self.samples.add(f.OWN, run.own_mib)
        self.samples.add(f.TREE, run.tree_mib)
        self.samples.notes["path"] = page.path_text(run.data["report"])
        helm = Baseline(self.lab, access, self.items)
        before = helm.revisions()
        for _ in range(SHORT):
            again = self._run(f.AGAIN, self.lab.install)
            if again.data["changes"] or helm.revisions() != before:
                text = f"the second run changed something: {again.data['changes']}"
                raise RuntimeError(text)
        for _ in range(SHORT):
            self._time(f.STATUS, str(BIN / "cto"), "status")
            self._time(f.HELP, str(BIN / "cto"), "--help")
            self._time(f.BARE, sys.executable, str(BARE), "--help")

    def helm_serial(self) -> None:
        helm = Baseline(self.lab, self.lab.up(), self.items)
        self._add(f.HELM_SERIAL, helm.install(lanes=1, wait=WAIT))
        seconds, last = helm.critical_path()
        self._add(f.PATH, seconds)
        self.samples.notes["last"] = last
        self._add(f.HELM_AGAIN, helm.upgrade(lanes=1, wait=WAIT))

    def helm_4(self) -> None:
        helm = Baseline(self.lab, self.lab.up(), self.items)
        self._add(f.HELM_4, helm.install(lanes=4, wait=WAIT))
        self._add(f.HELM_AGAIN_4, helm.upgrade(lanes=4, wait=WAIT))

    def _applying(self, lanes: int) -> Callable[[], None]:
        def apply() -> None:
            helm = Baseline(self.lab, self.lab.up(), self.items)
            self._add(f.APPLY[lanes], helm.install(lanes=lanes, wait=NO_WAIT))

        return apply

    def first(self) -> None:
        """Install where nothing is: no cluster, no cache."""
        shutil.rmtree(self.lab.folder / "cache", ignore_errors=True)
        run = self._run(f.FIRST, self.lab.install)
        self._add(f.CLUSTER, run.cluster_s)

    def _run(self, name: str, run: Callable[[], Run]) -> Run:
        done = run()
        self._add(name, done.seconds)
        return done

    def _time(self, name: str, *argv: str) -> None:
        self.samples.add(name, self.lab.time(*argv))

    def _add(self, name: str, seconds: float) -> None:
        self.samples.add(name, seconds)
        page.say(f"  {seconds:6.2f} s  {name}")


def rotated(subjects: Sequence[Callable[[], None]], by: int) -> list[Callable[[], None]]:
    by %= len(subjects)
    return [*subjects[by:], *subjects[:by]]


def main() -> int:
    options = arguments()
    samples = f.Samples()
    patience_s = 0.0 if options.quick else options.patience
    folder = Path(tempfile.mkdtemp(prefix="cto-bench-"))
    bench = Bench(Lab(folder, CACHE / "tools", options.charts), samples, patience_s)
    rounds = 1 if options.quick else options.rounds
    try:
        bench.prepare()
        subjects = bench.subjects((1, 4) if options.quick else tuple(f.APPLY))
        for number in range(rounds):
            page.say(f"round {number + 1} of {rounds}, load {machine.load():.1f}")
            for subject in rotated(subjects, number * 3):
                bench.measure(subject)
    finally:
        bench.lab.down()
        shutil.rmtree(folder, ignore_errors=True)
    section = page.section(samples, stand_ins=options.charts == CACHE / "charts", rounds=rounds)
    print(section)
    if not options.quick:
        page.write(section, stand_ins=options.charts == CACHE / "charts")
        page.say(f"written to {page.PAGE.relative_to(ROOT)}")
    medians = samples.medians()
    return 0 if all(goal.reached(medians) for goal in f.GOALS) else 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure cto against Helm alone.")
    parser.add_argument(
        "--charts",
        type=Path,
        default=CACHE / "charts",
        metavar="DIR",
        help="charts to install; the stand-ins, unless told otherwise",
    )
    parser.add_argument("--rounds", type=int, default=3, help="samples of each (3)")
    parser.add_argument(
        "--patience",
        type=float,
        default=180,
        metavar="SECONDS",
        help="wait that long for a quiet machine before each sample (180)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="one sample of each, at once; writes nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
