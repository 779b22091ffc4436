#!/usr/bin/env python3
"""Measures the image: delivery to nodes, clusters, start-up, verification.

Writes its own part of docs/performance.md. Needs what the end-to-end tests need, as root: it runs
a Docker daemon of its own. CTO_LAB_LAYER_MIB makes the lab's images as big as real ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import image_page  # noqa: E402 - the folder of this script is in the path
import page  # noqa: E402 - as above
from image_subjects import Samples, Subjects  # noqa: E402 - as above

from e2e.daemon import Daemon, lacking  # noqa: E402 - as above
from e2e.image import absence, made  # noqa: E402 - as above
from lab.images import bundle  # noqa: E402 - as above

PROFILE = "minimal"
QUICK_ROUNDS = 7


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure(subjects: Subjects, rounds: int) -> None:
    """Take every sample; what is compared is taken right after each other."""
    say("starting the image")
    for _ in range(QUICK_ROUNDS):
        subjects.version()
    say("files")
    subjects.size()
    for _ in range(rounds):
        subjects.verify(ROOT / ".venv" / "bin" / "cto")
    say("the node image")
    subjects.node_image()
    for number in range(rounds):
        say(f"clusters, round {number + 1}")
        subjects.cluster()
        if number < rounds - 1:
            subjects.gone()
    subjects.again()
    images = subjects.empty()
    for number in range(rounds):
        say(f"delivery, round {number + 1}")
        subjects.delivery(images)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="do not write the page")
    given = parser.parse_args()
    if missing := [*lacking(), *([absence()] if absence() else [])]:
        say("cannot be measured here: " + ", ".join(missing))
        return 1
    say("building the image")
    image = made(PROFILE)
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder)).running() as daemon:
        image.load(daemon.engine)
        kube = Path(folder) / "kube"
        kube.mkdir()
        samples = Samples()
        subjects = Subjects(daemon, image, bundle.folder(PROFILE), kube, samples)
        measure(subjects, given.rounds)
    text = image_page.section(samples.values, rounds=given.rounds)
    print(text)
    if not given.print:
        page.put(ROOT / "docs" / "performance.md", text, page.IMAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
