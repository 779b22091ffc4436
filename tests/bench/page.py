"""docs/performance.md: one part per set of charts, each replaced by its own next run."""

from __future__ import annotations

import datetime as dt
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import figures as f
from bench import machine

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "performance.md"

STAND_INS = "With the stand-in charts"
REAL = "With the real charts"
IMAGE = "The image, on Docker and kind"
CROWDED = "A cluster that others crowd"
FIRST = "The first task, on Docker and kind"
_TITLES = (STAND_INS, REAL, CROWDED, IMAGE, FIRST)
_HEAD = """# Performance

Written by `make bench`; every figure below was measured by it. Profile `production`, ten
components, on a simulated cluster whose pods take 8 seconds to become ready. On simulated nodes no
image is pulled and no program starts: these are the costs of the installer, of Helm and of the API
server, which on real nodes come on top of what the programs need.

## How it is measured

- Both sides use the same Helm, the same charts, the same rendered values, and definitions (CRDs)
  that are applied first: cto by itself, Helm's side by `kubectl apply --server-side`, a file per
  component.
- Each sample of an installation gets a new cluster, which is up before the clock starts. The order
  of the subjects changes from round to round. Each waits for a quiet machine, within bounds.
- cto's time is that of the whole command, from its start to its end: looking at the cluster, the
  preflight, the plan, CRDs, namespaces, generated secrets, releases, its own objects, readiness
  and the health checks. Of Helm's side nothing but namespaces, CRDs and releases is asked.
- The fastest apply-only sequence: the best of `helm upgrade --install --wait=hookOnly` one after
  another, and 2, 4 and 9 at once. Nobody waits there until anything is ready.
- The critical path: the longest chain of a component's CRDs and its release until it is ready,
  measured where one component is installed after another, so that nothing else disturbs it.
- Memory is what is resident (RSS), looked at ten times a second; the cluster's own programs do not
  count.
- `make bench ARGS='--charts DIR'` measures with other charts, `ARGS=--quick` takes one sample of
  each and writes nothing.
"""


def section(samples: f.Samples, *, stand_ins: bool, rounds: int) -> str:
    medians = samples.medians()
    return "\n".join(
        [
            f"## {STAND_INS if stand_ins else REAL}",
            "",
            *_circumstances(samples, rounds),
            "",
            *_table(("figure", "must reach", "measured", ""), _goals(medians)),
            "",
            *_table(("medians", "", "samples"), _rows(samples, medians)),
            "",
            *_notes(samples),
        ]
    )


def write(text: str, *, stand_ins: bool) -> None:
    """Replace one part of the page; the others stay as they are."""
    put(text, STAND_INS if stand_ins else REAL)


def say(text: str) -> None:
    """Tell who waits how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def put(text: str, title: str) -> None:
    """Replace the part of that title."""
    old = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    parts = {name: part for name in _TITLES if (part := _part(old, name))} | {title: text}
    found = [parts[name] for name in _TITLES if name in parts]
    body = "\n\n".join(part.strip() for part in [_HEAD, *found])
    PAGE.write_text(f"{body}\n", encoding="utf-8")


def _part(page: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def path_text(report: Mapping[str, Any]) -> str:
    seconds = {step["id"]: step["seconds"] for step in report["steps"]}
    return " → ".join(f"{name} {seconds[name]:.1f} s" for name in report["critical_path"])


def _circumstances(samples: f.Samples, rounds: int) -> Iterator[str]:
    today = dt.datetime.now(tz=dt.UTC).date()
    yield f"- {today}, {rounds} round{'s' if rounds > 1 else ''}"
    yield from (f"- {key}: {value}" for key, value in machine.describe().items())
    low, high = min(samples.loads), max(samples.loads)
    restless = f"; {samples.restless} of {len(samples.loads)} samples began on a busy machine"
    yield (
        f"- load of the machine before a sample: {low:.1f} to {high:.1f}"
        f"{restless if samples.restless else ''}"
    )


def _goals(medians: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    for goal in f.GOALS:
        value = _number(goal.measure(medians), goal.unit)
        yield goal.what, goal.must, value, "reached" if goal.reached(medians) else "**missed**"


def _rows(samples: f.Samples, medians: Mapping[str, float]) -> Iterator[tuple[str, ...]]:
    for name in f.ORDER:
        if name not in medians:
            continue
        unit = "MiB" if name in f.MIB else "s"
        values = samples.values[name]
        shown = values if len(values) <= 5 else [min(values), max(values)]
        between = ", " if len(values) <= 5 else " … "
        numbers = between.join(_number(value, unit).split()[0] for value in shown)
        count = "" if len(values) <= 5 else f" ({len(values)})"
        yield name, _number(medians[name], unit), numbers + count


def _notes(samples: f.Samples) -> Iterator[str]:
    if "last" in samples.notes:
        yield f"The critical path ends with {samples.notes['last']}."
    if "path" in samples.notes:
        yield f"What the last `cto install` waited for: {samples.notes['path']}."


def _number(value: float, unit: str) -> str:
    digits = 0 if unit == "MiB" else 1 if unit == "s" and value >= 10 else 2
    return f"{value:.{digits}f} {unit}"


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|".join(["", *("---" for _ in head), ""])
    yield from (f"| {' | '.join(row)} |" for row in rows)
