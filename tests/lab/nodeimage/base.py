"""The base of the product's image where no registry has one: Debian 13 with its Python 3.13."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lab.nodeimage import debian
from lab.nodeimage.cached import CachedImage
from lab.tools import apt, build

NAME = "cto-lab/base:trixie"
SUITE = "trixie"
PACKAGES = ("ca-certificates", "python3", "util-linux")

SECONDS, PEAK_MIB, KEPT_MIB = 90, 500, 65


def image() -> CachedImage:
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, debian.UNUSED)).encode()).hexdigest()[:16]
    return CachedImage(NAME, build.cache_dir() / "base", recipe)


def is_there() -> bool:
    return image().is_cached and image().is_loaded


def lacking() -> list[str]:
    return [] if image().is_cached else apt.lacking()


def make() -> None:
    """Make the image, unless the cache has it, and load it.

    Raises:
        BuildError: The machine lacks something, or a step failed.
    """
    kept = image()
    with build.alone(kept.folder):
        if not kept.is_cached:
            if found := lacking():
                raise build.BuildError("\n  ".join(["this machine lacks:", *found]))
            with kept.workspace() as work:
                tree: Path = work / "tree"
                debian.install(tree, SUITE, PACKAGES)
                kept.keep(work, tree, {"Cmd": ["python3"]})
        kept.load()
