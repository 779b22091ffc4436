#!/usr/bin/env python3
"""Makes the product's image out of what the lab has: base, programs, charts, images.

    python3 tests lab.image [--profile standard] [--target image-tar]

`make image` takes all of it from outside by its variables; this sets them, while the lab's
registry runs. `make docker` brings what it takes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

from lab.images import bundle, own, serving
from lab.prepare import ROOT, VENV, make_charts, say
from lab.tools import build


def reference(profile: str) -> str:
    """Return the name that `make image` gives to the image of a profile."""
    package = (ROOT / "entrypoint" / "cto" / "__init__.py").read_text()
    version = re.search(r'^__version__ = "(.+)"$', package, re.MULTILINE)
    if version is None:
        text = "entrypoint/cto/__init__.py has no __version__"
        raise build.BuildError(text)
    return f"cto:{version[1]}-{profile}"


def variables(profile: str, host: str) -> list[str]:
    """Return what `make image` is told."""
    options = ["--lock", str(bundle.lock()), *bundle.mirrors(host)]
    return [f"PROFILE={profile}", *own.variables(), f"BUNDLE_ARGS={' '.join(options)}"]


def environment() -> dict[str, str]:
    return {**own.environment(), "CTO_CHARTS": str(bundle.charts()), **bundle.NEAR}


def make(profile: str, target: str) -> int:
    make_charts()
    bundle.make(profile, VENV / "bin" / "cto")
    with serving.registry() as host:
        argv = ["make", target, *variables(profile, host)]
        return subprocess.run(argv, cwd=ROOT, env=environment(), check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the product's image out of the lab.")
    parser.add_argument("--profile", default="minimal")
    parser.add_argument("--target", default="image", help="of the Makefile (image)")
    given = parser.parse_args()
    try:
        return make(given.profile, given.target)
    except build.BuildError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
