"""The images that are made of this project, as files, for the lab's bundles."""

from __future__ import annotations

import os
from pathlib import Path

from lab.images import catalog
from lab.nodeimage import base, programs
from lab.tools import build

# Of the agents' image no CLI but the one that needs no model: the others are big.
CLIS = ""


def folder() -> Path:
    return build.cache_dir() / "own"


def archives() -> dict[str, Path]:
    """Return the files by the images' names."""
    names = {"controller": "controller.tar", "agent": "agent.tar"}
    return {f"cto.internal/{name}": folder() / file for name, file in names.items()}


def options() -> list[str]:
    """Return how `cto bundle build` is told of them."""
    pairs = (f"{name}={file}" for name, file in archives().items())
    return [word for pair in pairs for word in ("--archive", pair)]


def variables() -> list[str]:
    """Return what the Makefile is told, for all images of ours."""
    return [f"BASE={base.NAME}", f"CLIS={CLIS}"]


def environment() -> dict[str, str]:
    """Return where the Makefile finds the lab's programs."""
    return {**os.environ, "CTO_TOOLS": str(programs.tools_folder())}


def make() -> None:
    """Build them, by the project's own Makefile.

    Raises:
        BuildError: A step failed.
    """
    parts = [f"PARTS={folder()}", f"AGENT={folder() / 'agent.tar'}"]
    targets = [str(folder() / "controller.tar"), "agent-image"]
    argv = ["make", "-C", str(catalog.ROOT), *targets, *variables(), *parts]
    build.run_quietly(argv, environment())
