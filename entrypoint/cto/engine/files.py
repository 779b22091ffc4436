"""Checks of the folders of this machine that an installation writes to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cto.result import Check, CheckStatus

_GIB = 1 << 30


def folder_checks(
    needed: Mapping[Path, int], *, free: Callable[[Path], int] | None = None
) -> Sequence[Check]:
    """Return a check per folder: it can be written to, and has that many bytes left.

    Args:
        needed: Folder, which need not exist, -> bytes that will be written there.
        free: Returns the free bytes of a folder's file system.
    """
    return tuple(_check(folder, need, free or _free) for folder, need in needed.items())


def _check(folder: Path, needed: int, free: Callable[[Path], int]) -> Check:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    left = free(there)
    problem = ""
    if not there.is_dir() or not os.access(there, os.W_OK):
        problem = f"Make {there} a folder that can be written to."
    elif left < needed:
        problem = f"Free {(needed - left) / _GIB:.1f} GiB on the file system of {there}."
    return Check(
        name=f"folder-{folder.name}",
        title=f"Folder {folder}",
        status=CheckStatus.FAILED if problem else CheckStatus.PASSED,
        message=f"{left / _GIB:.1f} GiB are free, and {needed / _GIB:.1f} GiB are needed",
        fix=problem,
        code="CTO-1400" if problem else "",
    )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
