"""Folders for programs that take our place.

Nobody is left to remove such a folder when the program ends. It is named by the process, whose
number stays the same, and the next one sweeps away what belongs to processes that are gone.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from cto.errors import PreflightError

_PREFIX = "cto-registry-"


def folder(pid: int, lives: Callable[[int], bool], base: Path | None = None) -> Path:
    """Make a new folder for a process.

    Args:
        pid: Its number. In a container it may be the same each time.
        lives: Tells whether a process is there.
        base: Where to make it; where temporary files belong, if None.

    Raises:
        PreflightError: CTO-1400, it cannot be made.
    """
    where = base or Path(tempfile.gettempdir())
    for old in where.glob(f"{_PREFIX}*"):
        owner = old.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and (int(owner) == pid or not lives(int(owner))):
            # Somebody else's folder stays, as the system says.
            shutil.rmtree(old, ignore_errors=True)
    try:
        return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{pid}-", dir=where))
    except OSError as error:
        raise unwritable(where, error) from error


def unwritable(where: Path, error: OSError) -> PreflightError:
    text = f"{where} cannot be written to"
    hint = "Name a folder with some room for temporary files: TMPDIR."
    return PreflightError("CTO-1400", text, details=error.strerror or str(error), hint=hint)
