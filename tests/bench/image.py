#!/usr/bin/env python3
"""Measures the image: delivery to nodes, clusters, start-up, verification.

Writes its own part of docs/performance.md. Needs what the end-to-end tests need, as root: it runs
a Docker daemon of its own. CTO_LAB_LAYER_MIB makes the lab's images as big as real ones.
"""

from __future__ import annotations

import sys

from bench import image_page, on_docker, page
from bench.image_subjects import Subjects
from bench.page import ROOT, say

QUICK_ROUNDS = 7


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


if __name__ == "__main__":
    sys.exit(on_docker.run(str(__doc__), measure, image_page.section, page.IMAGE))
