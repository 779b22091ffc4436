"""What was measured, and whether it reaches what it must."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median

# Names of samples: the page shows those that are here, in this order.
INSTALL = "`cto install`, the whole command"
PLAN_TO_READY = "of that: from plan to all ready"
HELM_SERIAL = "`helm upgrade --install --wait`, one after another"
HELM_4 = "the same, 4 at once"
APPLY = {n: f"apply only (`--wait=hookOnly`), {n} at once" for n in (1, 2, 4, 9)}
APPLY_1 = "apply only (`--wait=hookOnly`), one after another"
APPLY[1] = APPLY_1
PATH = "critical path, measured one after another"
AGAIN = "`cto install` again, nothing changed"
HELM_AGAIN = "helm's re-run, one after another"
HELM_AGAIN_4 = "helm's re-run, 4 at once"
STATUS = "`cto status`"
HELP = "`cto --help`"
BARE = "`--help` of a bare click program"
CLUSTER = "the kwok cluster, within a first `cto install`"
FIRST = "a first `cto install`: no cluster, nothing cached"
OWN = "resident memory of cto, at most"
TREE = "resident memory of cto and its helms, at most"

MIB = {OWN, TREE}
ORDER = (
    *(INSTALL, PLAN_TO_READY, HELM_SERIAL, HELM_4, *APPLY.values(), PATH),
    *(AGAIN, HELM_AGAIN, HELM_AGAIN_4, STATUS, HELP, BARE, CLUSTER, FIRST, OWN, TREE),
)


@dataclass
class Samples:
    """All samples of a run, and what is worth knowing about them."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    loads: list[float] = field(default_factory=list)
    restless: int = 0
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def medians(self) -> Mapping[str, float]:
        return {name: median(values) for name, values in self.values.items() if values}


@dataclass(frozen=True)
class Goal:
    """One line of the table. `measure` and `limit` get the medians."""

    what: str
    must: str
    measure: Callable[[Mapping[str, float]], float]
    limit: Callable[[Mapping[str, float]], float]
    unit: str = "s"
    at_least: bool = False

    def reached(self, medians: Mapping[str, float]) -> bool:
        measured, limit = self.measure(medians), self.limit(medians)
        return measured >= limit if self.at_least else measured <= limit


def fastest_apply(medians: Mapping[str, float]) -> float:
    return min(medians[name] for name in APPLY.values() if name in medians)


def bound(medians: Mapping[str, float]) -> float:
    """Return what nobody can be faster than, by the issue's definition."""
    return max(fastest_apply(medians), medians[PATH])


GOALS = (
    Goal(
        "installation, against max(fastest apply-only sequence, critical path)",
        "≤ 1.25 times",
        lambda m: m[INSTALL] / bound(m),
        lambda _: 1.25,
        "times",
    ),
    Goal(
        "installation, against helm with --wait, one after another",
        "≥ 2.5 times faster",
        lambda m: m[HELM_SERIAL] / m[INSTALL],
        lambda _: 2.5,
        "times",
        at_least=True,
    ),
    Goal(
        "installation, against helm with --wait, 4 at once",
        "not slower",
        lambda m: m[INSTALL] / m[HELM_4],
        lambda _: 1.0,
        "times",
    ),
    Goal(
        "the same command again, against helm's re-run",
        "≤ 1/10",
        lambda m: m[AGAIN] / m[HELM_AGAIN],
        lambda _: 0.1,
        "times",
    ),
    Goal("`cto status` of ten components", "≤ 1 s", lambda m: m[STATUS], lambda _: 1.0),
    Goal(
        "`cto --help`, against a bare click program's",
        "≤ 2 times",
        lambda m: m[HELP] / m[BARE],
        lambda _: 2.0,
        "times",
    ),
    Goal("kwok cluster inside `cto install`", "≤ 10 s", lambda m: m[CLUSTER], lambda _: 10.0),
    Goal("memory of our process", "≤ 150 MB", lambda m: m[OWN], lambda _: 150e6 / 2**20, "MiB"),
)
