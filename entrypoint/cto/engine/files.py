"""Checks of the folders of this machine that an installation writes to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cto import storage
from cto.result import Check, Topic

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
    topic = Topic(f"folder-{folder.name}", f"Folder {folder}")
    refusal = storage.trial(folder)
    if refusal:
        return topic.raised(storage.unwritable(folder, refusal, env))
    there = storage.nearest(folder)
    left = free(there)
    message = f"{left / _GIB:.1f} GiB are free, and {needed / _GIB:.1f} GiB are needed"
    if left < needed:
        lack = f"Free {(needed - left) / _GIB:.1f} GiB on the file system of {there}."
        return topic.failed(message, fix=lack)
    return topic.passed(message)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
