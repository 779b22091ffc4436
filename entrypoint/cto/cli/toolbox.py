"""Puts the programs of tools.yaml into a folder: the verb of `cto bundle tools`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from cto.adapters.tools import Tools
from cto.cli import toolrecord
from cto.cli.bundletext import table
from cto.result import Result
from cto.storage import writing

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
        rows[name] = toolrecord.AS_GIVEN if given else tools.version(name)
    with writing(out, instead=_INSTEAD):
        toolrecord.write(out, rows)
    return Result(
        command="bundle tools",
        data={"folder": str(out), "tools": rows},
        text="\n".join([f"{out}:", *(f"  {line}" for line in table(list(rows.items())))]),
    )


def _copy(program: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(program, temporary)
        temporary.chmod(0o755)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
