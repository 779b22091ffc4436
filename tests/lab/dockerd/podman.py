"""Podman, which answers like Docker: unpacked from Debian's packages, never installed."""

from __future__ import annotations

from pathlib import Path

from lab.tools import apt, build


def programs() -> Path:
    return build.cache_dir() / "docker" / f"{apt.release()}-podman"


def fetch() -> None:
    """Unpack it with every library that it needs, of the release that this machine runs.

    Raises:
        BuildError: Debian's archive does not give it.
    """
    apt.keep(("podman",), apt.release(), programs(), whole=True)


def libraries() -> str:
    """Return what LD_LIBRARY_PATH has to be for it."""
    found = programs().glob("**/lib/*-linux-gnu")
    return ":".join(str(folder) for folder in sorted(found) if folder.is_dir())
