"""Checks of the folders of this machine that an installation writes to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cto import storage
from cto.result import Check, CheckStatus

_GIB = 1 << 30


def folder_checks(
    needed: Mapping[Path, int],
    *,
    env: Mapping[str, str] | None = None,
    free: Callable[[Path], int] | None = None,
) -> Sequence[Check]:
    """Return a check per folder: it can be written to, and has that many bytes left.

    Args:
        needed: Folder, which need not exist, -> bytes that will be written there.
        env: Says which variables name the folders.
        free: Returns the free bytes of a folder's file system.
    """
    return tuple(_check(folder, need, env, free or _free) for folder, need in needed.items())


def _check(
    folder: Path, needed: int, env: Mapping[str, str] | None, free: Callable[[Path], int]
) -> Check:
    refusal = storage.trial(folder)
    if refusal:
        error = storage.unwritable(folder, refusal, env)
        return _said(folder, error.message, fix=error.hint, code=error.code)
    there = storage.nearest(folder)
    left = free(there)
    message = f"{left / _GIB:.1f} GiB are free, and {needed / _GIB:.1f} GiB are needed"
    if left < needed:
        lack = f"Free {(needed - left) / _GIB:.1f} GiB on the file system of {there}."
        return _said(folder, message, fix=lack, code="CTO-1400")
    return _said(folder, message)


def _said(folder: Path, message: str, *, fix: str = "", code: str = "") -> Check:
    return Check(
        name=f"folder-{folder.name}",
        title=f"Folder {folder}",
        status=CheckStatus.FAILED if code else CheckStatus.PASSED,
        message=message,
        fix=fix,
        code=code,
    )


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
