"""What the measurements on Docker and kind share: a daemon of their own, a part of the page."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench import page
from bench.image_subjects import Samples, Subjects
from e2e.daemon import Daemon, lacking
from e2e.image import absence, made
from lab.images import bundle

PROFILE = "minimal"
Values = Mapping[str, Sequence[float]]


def run(
    what: str,
    measure: Callable[[Subjects, int], None],
    section: Callable[[Values, int], str],
    title: str,
    missing: Sequence[str] = (),
) -> int:
    """Measure with the image of the lab, and put the figures in their part of the page.

    Args:
        what: For the help: what is measured, and what it needs.
        measure: Takes the samples of that many rounds.
        section: Makes a part of the page of the samples and their rounds.
        title: Of that part.
        missing: What this machine lacks, beside what every measurement on Docker needs.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="do not write the page")
    given = parser.parse_args()
    if absent := [*lacking(), *filter(None, [absence()]), *missing]:
        page.say("cannot be measured here: " + ", ".join(absent))
        return 1
    page.say("building the image")
    image = made(PROFILE)
    with tempfile.TemporaryDirectory() as folder, Daemon(Path(folder)).running() as daemon:
        image.load(daemon.engine)
        kube = Path(folder) / "kube"
        kube.mkdir()
        subjects = Subjects(daemon, image, bundle.folder(PROFILE), kube, Samples())
        measure(subjects, given.rounds)
    text = section(subjects.samples.values, given.rounds)
    print(text)
    if not given.print:
        page.put(text, title)
    return 0
