"""Puts the programs of tools.yaml into a folder, and tells what a folder has.

`cto version` reads what `cto bundle tools` said of it. The image has such a folder: asking each
program for its version would take longer than everything else that `cto version` does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cto.adapters.tools import Tools
from cto.cli.bundletext import table
from cto.result import Result
from cto.storage import replacing, writing

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
_INSTEAD = "name another folder: --out DIR"


def filled(tools: Tools, out: Path, notice: Callable[[str], None]) -> Result:
    """Copy every program that the image holds into a folder; what is there already stays.

    Raises:
        ToolError: CTO-1501, one cannot be had.
        IntegrityError: CTO-1800 (wrong digest), CTO-1801 (none is pinned).
        PreflightError: CTO-1485, the folder cannot be written to.
    """
    rows: dict[str, str] = {}
    for name in tools.of_image:
        given = tools.is_given(name)
        program = tools.path(name)
        notice(f"{name} {tools.version(name)}{' as given' if given else ''}: {program}")
        with writing(out / name, instead=_INSTEAD):
            _copy(program, out / name)
        rows[name] = AS_GIVEN if given else tools.version(name)
    with writing(out, instead=_INSTEAD):
        write(out, rows)
    return Result(
        command="bundle tools",
        data={"folder": str(out), "tools": rows},
        text="\n".join([f"{out}:", *(f"  {line}" for line in table(list(rows.items())))]),
    )


def _copy(program: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with program.open("rb") as source, replacing(target, str(os.getpid())) as new:
        shutil.copyfileobj(source, new)
        os.fchmod(new.fileno(), 0o755)


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
