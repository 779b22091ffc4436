"""The image under test: built by `make image-tar`, of what the lab has in place of upstream's.

CTO_E2E_TAR names one that is there already, so that a second run of the tests need not build it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from lab import containers
from lab.dockerd import engine as dockerd
from lab.images import bundle
from lab.nodeimage import base
from lab.tools import build

from .engine import Engine

ROOT = Path(__file__).resolve().parents[2]
# The lab's program that makes the image: what `python tests` runs.
MAKE = [sys.executable, str(ROOT / "tests"), "lab.image"]
# It has all that minimal needs, too.
PROFILE = "standard"
_BUILD_S = 1500


@dataclass(frozen=True)
class Image:
    """An image as a file for `docker load`."""

    tar: Path

    @property
    def reference(self) -> str:
        return self._index()["annotations"]["io.containerd.image.name"].removeprefix("docker.io/")

    def load(self, engine: Engine) -> None:
        engine.run("load", "--quiet", "--input", str(self.tar), timeout_s=600)

    def _index(self) -> dict[str, dict[str, str]]:
        with tarfile.open(self.tar) as archive:
            index = archive.extractfile("index.json")
            assert index is not None
            found: list[dict[str, dict[str, str]]] = json.load(index)["manifests"]
        return found[0]


def absence() -> str:
    """Say why there is no image to test; empty if there is one, or can be one."""
    if given():
        return ""
    if not dockerd.version():
        return containers.absence() or "no Docker daemon answers (`make docker` brings one)"
    if not base.is_there() or not bundle.lock().exists():
        return "the lab has no images to put into ours (`make docker` brings them)"
    return ""


def given() -> Path | None:
    named = os.environ.get("CTO_E2E_TAR", "")
    return Path(named) if named else None


def made(profile: str = PROFILE) -> Image:
    """Build the image as its users do, by `make image-tar`, of what the lab has."""
    if tar := given():
        return Image(tar)
    base.make()
    make = [*MAKE, "--profile", profile, "--target", "image-tar"]
    done = subprocess.run(
        make, cwd=ROOT, capture_output=True, text=True, timeout=_BUILD_S, check=False
    )
    assert done.returncode == 0, f"{' '.join(make)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return Image(next(ROOT.glob(f"dist/cto-*-{profile}-{build.machine()}.tar")))
