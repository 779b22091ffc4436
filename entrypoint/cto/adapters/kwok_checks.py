"""What must be there before a simulated cluster is made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol

from cto.adapters.kwok_config import NEEDED_TOOLS
from cto.errors import CtoError
from cto.result import Check, CheckStatus

# What etcd and the logs of a day of playing take.
_DISK_BYTES = 1 << 30
_GIB = 1 << 30


class Programs(Protocol):
    """What `adapters.tools.Tools` does, as far as it matters here."""

    def path(self, name: str) -> Path: ...
    def version(self, name: str) -> str: ...
    def is_given(self, name: str) -> bool: ...
    def source(self, name: str) -> str: ...


def tools_check(tools: Programs) -> Check:
    """Tell where each program would come from, without fetching any."""
    lines, problems = [], []
    for name in NEEDED_TOOLS:
        try:
            lines.append(f"{name}: {tools.source(name)}")
        except CtoError as error:
            problems.append(f"{name}: {error.message}")
    return Check(
        name="kwok-tools",
        title="Programs for a simulated cluster",
        status=CheckStatus.FAILED if problems else CheckStatus.PASSED,
        message=f"{len(problems)} of {len(NEEDED_TOOLS)} programs cannot be had"
        if problems
        else f"{len(NEEDED_TOOLS)} programs",
        fix="Give a folder with these programs: --tools DIR" if problems else "",
        code="CTO-1501" if problems else "",
        items=tuple(problems or lines),
    )


def folder_check(folder: Path) -> Check:
    """Tell whether the cluster's folder can be written to, and has room."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    enough = free >= _DISK_BYTES and os.access(there, os.W_OK)
    return Check(
        name="kwok-folder",
        title="Folder of the simulated cluster",
        status=CheckStatus.PASSED if enough else CheckStatus.FAILED,
        message=f"{folder}: {free / _GIB:.1f} GiB free",
        fix="" if enough else "Make it writable with 1 GiB free, or set CTO_STATE_DIR.",
        code="" if enough else "CTO-1400",
    )
