#!/usr/bin/env python3
"""Measures the way from `docker run … install` to an agent's result, where only the image is there.

Writes its own part of docs/performance.md. Needs what the end-to-end tests need, as root, with
CTO_LAB_REAL=all: stand-ins are ready sooner than upstream's programs. Each round begins on a
Docker without a node image.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import machine  # noqa: E402 - the folder of this script is in the path
import page  # noqa: E402 - as above
from image_subjects import Samples, Subjects  # noqa: E402 - as above

from e2e.agents import give_task  # noqa: E402 - as above
from e2e.daemon import Daemon, lacking  # noqa: E402 - as above
from e2e.image import PROFILE, absence, made  # noqa: E402 - as above
from lab.images import bundle, modules  # noqa: E402 - as above

MUST_S = 300
WHOLE = "from `docker run … install` to the result of the agent's first task"
# The stamps of an installation, and what lies between each and the next one.
PARTS = {
    "begun": "preflight, plan, the registry of the bundle, and Docker's pull of the node image",
    "kind": "the cluster",
    "made": "the platform: images pulled, every component ready, health checks",
}
TASK = "`cto task run --agent rex --cli echo … --watch`"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure(subjects: Subjects) -> None:
    """Install, and give a task; the git server of the test, started between, does not count."""
    stamps = subjects.install()
    assert "pull" in stamps, "Docker had the node image"
    _, seconds = give_task(subjects.installer)
    for (start, what), end in zip(PARTS.items(), [*list(PARTS)[1:], "ended"], strict=True):
        subjects.samples.add(what, stamps[end] - stamps[start])
    subjects.samples.add(TASK, seconds)
    subjects.samples.add(WHOLE, stamps["ended"] - stamps["begun"] + seconds)
    subjects.gone()


def section(values: dict[str, list[float]]) -> str:
    whole, rounds = median(values[WHOLE]), len(values[WHOLE])
    each = ", ".join(f"{value:.0f}" for value in values[WHOLE])
    word = "reached" if whole < MUST_S else "**missed**"
    parts = {what: median(found) for what, found in values.items() if what != WHOLE}
    return "\n".join(
        [
            f"## {page.FIRST}",
            "",
            f"- {dt.datetime.now(tz=dt.UTC).date()}, {rounds} rounds, medians",
            *(f"- {key}: {value}" for key, value in machine.describe().items()),
            f"- load of the machine at the end: {machine.load():.1f}",
            "- profile minimal with real programs where the lab builds them; Docker has the image",
            "  and nothing else",
            "",
            "| figure | must reach | measured | |",
            "|---|---|---|---|",
            f"| {WHOLE} | < {MUST_S} s | {whole:.0f} s ({each}) | {word} |",
            "",
            "| where the time goes | | share | samples |",
            "|---|---|---|---|",
            *(
                f"| {what} | {took:.1f} s | {100 * took / sum(parts.values()):.0f} % |"
                f" {', '.join(f'{value:.1f}' for value in values[what])} |"
                for what, took in parts.items()
            ),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="do not write the page")
    given = parser.parse_args()
    missing = [*lacking(), *([absence()] if absence() else [])]
    if not modules.chosen():
        missing.append(f"{modules.SWITCH}=all")
    if missing:
        say("cannot be measured here: " + ", ".join(missing))
        return 1
    say("building the image")
    image = made()
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder)).running() as daemon:
        image.load(daemon.engine)
        kube = Path(folder) / "kube"
        kube.mkdir()
        subjects = Subjects(daemon, image, bundle.folder(PROFILE), kube, Samples())
        for number in range(given.rounds):
            say(f"round {number + 1}")
            measure(subjects)
    text = section(subjects.samples.values)
    print(text)
    if not given.print:
        page.put(ROOT / "docs" / "performance.md", text, page.FIRST)
    return 0


if __name__ == "__main__":
    sys.exit(main())
