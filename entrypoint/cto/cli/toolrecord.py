"""What `cto bundle tools` says of the folder that it filled: `cto version` reads it.

The image has such a folder. Asking each program for its version would take longer than everything
else that `cto version` does.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

AS_GIVEN = "as given"
# What asks a program for its version, where it is not `--version`.
_QUESTIONS = {
    "kubectl": ("version", "--client"),
    "helm": ("version", "--short"),
    "crane": ("version",),
}
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]*[0-9A-Za-z])?")
_AT_ONCE = 4
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


def versions(
    folder: Path | None, pinned: Mapping[str, str], ask: Callable[[Sequence[str]], str]
) -> dict[str, str]:
    """Return name of a program -> its version, or `AS_GIVEN`.

    Those of a folder that `cto bundle tools` filled are all that there are: it is the image's. A
    folder of somebody's own replaces what it has, with programs that only its owner knows.

    Args:
        folder: What `--tools` names.
        pinned: Name -> version of every program in tools.yaml.
        ask: Runs a command and returns what it says; '' if it cannot be run.
    """
    if folder is None:
        return dict(pinned)
    try:
        held = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return {str(name): str(version) for name, version in held.items()}
    except (OSError, ValueError, AttributeError):
        given = [name for name in pinned if (folder / name).is_file()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            told = pool.map(lambda name: _told(folder / name, ask), given)
            return {**pinned, **dict(zip(given, told, strict=True))}


def _told(program: Path, ask: Callable[[Sequence[str]], str]) -> str:
    """Return what a program says of its version."""
    said = ask((str(program.absolute()), *_QUESTIONS.get(program.name, ("--version",))))
    found = _VERSION.search(said)
    return f"{found[0]}, {AS_GIVEN}" if found else AS_GIVEN
