#!/usr/bin/env python3
"""Builds the registry of the tests (CNCF Distribution), what makes it strict, crane and oras.

What is not ours are Go modules whose contents a go.sum beside this script, or below, fixes. It runs
with a bare Python, like `lab.tools.build`, whose way of building it takes: a rename puts a
program in place, and what is in place and written down is not built again.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab.tools import build

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class RegistryTool(build.GoTool):
    """A program of this folder's module."""

    @property
    def recipe(self) -> str:
        sources = [path.read_text() for path in sorted(HERE.rglob("*.go"))]
        return sha256("\0".join([super().recipe, *sources]).encode()).hexdigest()


PROGRAMS = (
    RegistryTool(
        name="registry",
        version="3.0.0",
        folder="../registry",
        package=".",
        ldflags="-X github.com/distribution/distribution/v3/version.version=v3.0.0",
        seconds=60,
        size_mib=30,
        cache_mib=400,
    ),
    RegistryTool(
        name="trust",
        version="0",
        folder="../registry",
        package="./trust",
        seconds=5,
        size_mib=7,
        cache_mib=10,
    ),
    RegistryTool(
        name="crane",
        version="0.20.6",
        folder="../registry",
        package="github.com/google/go-containerregistry/cmd/crane",
        seconds=15,
        size_mib=10,
        cache_mib=100,
    ),
    RegistryTool(
        name="oras",
        version="1.2.3",
        folder="../registry/oras",
        package="oras.land/oras/cmd/oras",
        seconds=15,
        size_mib=10,
        cache_mib=100,
    ),
)


def folder() -> Path:
    """Say where the programs are, beside the other programs of the lab."""
    return build.cache_dir() / "registry"


def missing() -> list[build.Tool]:
    return [tool for tool in PROGRAMS if not build.is_there(tool, folder())]


def make() -> None:
    """Build what is not there.

    Raises:
        BuildError: The machine lacks something, or Go refuses.
    """
    build.make_all(missing, folder())


def main() -> int:
    try:
        make()
    except build.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
