"""Upstream's own programs, as the lab builds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def program(name: str) -> Path:
    """Return a program that was built for the lab; skip if it was not."""
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    file = cache / "programs" / name
    if not file.exists():
        pytest.skip(f"there is no {file}: CTO_LAB_REAL={name} has it built")
    return file
