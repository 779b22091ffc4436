#!/usr/bin/env python3
"""Measures the way from `docker run … install` to an agent's result, where only the image is there.

Writes its own part of docs/performance.md. Needs what the end-to-end tests need, as root, with
CTO_LAB_REAL=all: stand-ins are ready sooner than upstream's programs. Each round begins on a
Docker without a node image.
"""

from __future__ import annotations

import datetime as dt
import sys
from statistics import median

from bench import machine, on_docker, page
from bench.image_subjects import Subjects
from bench.on_docker import Values
from e2e.agents import give_task
from lab.images import modules

MUST_S = 300
WHOLE = "from `docker run … install` to the result of the agent's first task"
# The stamps of an installation, and what lies between each and the next one.
PARTS = {
    "begun": "preflight, plan, the registry of the bundle, and Docker's pull of the node image",
    "kind": "the cluster",
    "made": "the platform: images pulled, every component ready, health checks",
}
TASK = "`cto task run --agent rex --cli echo … --watch`"


def measure(subjects: Subjects, rounds: int) -> None:
    for number in range(rounds):
        page.say(f"round {number + 1}")
        _measure(subjects)


def _measure(subjects: Subjects) -> None:
    """Install, and give a task; the git server of the test, started between, does not count."""
    stamps = subjects.install()
    assert "pull" in stamps, "Docker had the node image"
    _, seconds = give_task(subjects.installer)
    for (start, what), end in zip(PARTS.items(), [*list(PARTS)[1:], "ended"], strict=True):
        subjects.samples.add(what, stamps[end] - stamps[start])
    subjects.samples.add(TASK, seconds)
    subjects.samples.add(WHOLE, stamps["ended"] - stamps["begun"] + seconds)
    subjects.gone()


def section(values: Values, rounds: int) -> str:
    whole = median(values[WHOLE])
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


if __name__ == "__main__":
    absent = () if modules.chosen() else (f"{modules.SWITCH}=all",)
    sys.exit(on_docker.run(str(__doc__), measure, section, page.FIRST, absent))
