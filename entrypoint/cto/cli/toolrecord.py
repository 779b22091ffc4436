"""What `cto bundle tools` says of the folder that it filled: `cto version` reads it.

The image has such a folder. Asking each program for its version would take longer than everything
else that `cto version` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

AS_GIVEN = "as given"
_FILE = "cto-tools.json"


def write(folder: Path, versions: Mapping[str, str]) -> None:
    """Keep what was put into the folder: name of a program -> its pinned version, or `AS_GIVEN`."""
    temporary = folder / f".{_FILE}.{os.getpid()}"
    try:
        temporary.write_text(
            json.dumps(versions, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        temporary.chmod(0o644)
        temporary.replace(folder / _FILE)
    finally:
        temporary.unlink(missing_ok=True)


def versions(folder: Path | None, pinned: Mapping[str, str]) -> dict[str, str]:
    """Return name of a program -> its version, or `AS_GIVEN`.

    Those of a folder that `cto bundle tools` filled are all that there are: it is the image's. A
    folder of somebody's own replaces what it has, with programs that only its owner knows.

    Args:
        folder: What `--tools` names.
        pinned: Name -> version of every program in tools.yaml.
    """
    if folder is None:
        return dict(pinned)
    try:
        held = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return {str(name): str(version) for name, version in held.items()}
    except (OSError, ValueError, AttributeError):
        return {
            name: AS_GIVEN if (folder / name).is_file() else version
            for name, version in pinned.items()
        }
