"""Gathers what helps to find a fault, writes it down, and names the likely causes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cto.cli.describe import counted
from cto.cli.output import Terminal
from cto.cli.verbs.supportparts import Gatherer
from cto.cli.wiring import Wiring
from cto.errors import Exit
from cto.result import Result
from cto.support import archive, facts
from cto.support.assembling import Assembled, assembled
from cto.support.diagnosis import LikelyCause, diagnosed

# Together the minute that is promised, with a moment for the file itself.
GATHERING_S = 45.0
_ASSEMBLING_S = 10.0
_LOOK_FIRST = (
    "Secrets that are known, or look like some, were taken out. Look through it before you send it."
)
_WORDS = ((80, "very likely"), (50, "likely"), (0, "possible"))


def bundle(wiring: Wiring, planning: Wiring, terminal: Terminal, out: Path | None) -> Result:
    """Write a support bundle.

    Args:
        wiring: The command's adapters.
        planning: Others, for the plan of an upgrade: they read the configuration of what is there.
        terminal: Its output.
        out: A file or a folder; None is the current one.

    Raises:
        PreflightError: CTO-1485, it cannot be written.
        UsageError: CTO-1201, CTO-1203, nobody knows which cluster.
    """
    now = wiring.clock.now()
    archive.refuse_unwritable(archive.path_of("", now, out))
    made, about = _gathered(wiring, planning, terminal)
    path = archive.path_of(about["context"], now, out)
    size = archive.write(path, made.texts, now)
    return Result(
        command="support-bundle",
        data={
            "file": str(path),
            "bytes": size,
            "context": about["context"],
            "files": list(made.texts),
            "missing": dict(made.missing),
        },
        text="\n".join(
            [
                f"{path}: {counted(len(made.texts), 'file')}, {size / 1024:.0f} KiB",
                *_left_out(made.missing),
                _LOOK_FIRST,
                f"`cto diagnose {path}` names likely causes.",
            ]
        ),
        simulated=about["simulated"],
    )


def diagnose_file(path: Path) -> Result:
    """Name the likely causes of what is broken, by a support bundle alone.

    Raises:
        UsageError: CTO-1290, it is none.
    """
    files = facts.parsed(archive.read(path))
    about = files.get(facts.ABOUT) or {}
    missing = str(files.get(facts.MISSING, "")).splitlines()
    told = f"{about.get('context') or 'no cluster'}, as it was at {about.get('made', '')}"
    return _result(files, told, missing, simulated=bool(about.get("simulated")))


def diagnose_live(wiring: Wiring, planning: Wiring, terminal: Terminal) -> Result:
    """Name the likely causes of what is broken now.

    Raises:
        UsageError: CTO-1201, CTO-1203, nobody knows which cluster.
    """
    made, about = _gathered(wiring, planning, terminal)
    missing = [f"{name}: {why}" for name, why in made.missing.items()]
    files = facts.parsed(made.texts)
    told = about["context"] or "no cluster"
    return _result(files, told, missing, simulated=about["simulated"])


def _gathered(
    wiring: Wiring, planning: Wiring, terminal: Terminal
) -> tuple[Assembled, dict[str, Any]]:
    clock = wiring.clock
    terminal.remark("Gathering facts; that takes a minute at most, and changes nothing.")
    gatherer = Gatherer(wiring, planning, limit_s=GATHERING_S)
    try:
        gathered = gatherer.gathered()
    finally:
        gatherer.close()
    about: dict[str, Any] = gathered.files[facts.ABOUT]
    terminal.simulated = about["simulated"]
    end_s = clock.monotonic() + _ASSEMBLING_S
    made = assembled(gathered, terminal.secrets.redacted, is_over=lambda: clock.monotonic() > end_s)
    return made, about


def _left_out(missing: Any) -> list[str]:
    return [f"left out: {name}: {why}" for name, why in missing.items()]


def _result(files: dict[str, Any], told: str, missing: Sequence[str], *, simulated: bool) -> Result:
    found = diagnosed(files)
    head = f"{told}: " + (counted(len(found), "likely cause") if found else "nothing was found")
    return Result(
        command="diagnose",
        data={"findings": [one.to_json() for one in found], "missing": list(missing)},
        text="\n".join(
            [
                head if not found else f"{head}, the most likely first.",
                *(line for number, one in enumerate(found, 1) for line in _lines(number, one)),
                *(["", "Not looked at:", *(f"  {line}" for line in missing)] if missing else []),
            ]
        ),
        exit_code=Exit.DEGRADED if found else Exit.OK,
        simulated=simulated,
    )


_SHOWN = 5


def _lines(number: int, found: LikelyCause) -> list[str]:
    word = next(word for least, word in _WORDS if found.likelihood >= least)
    more = len(found.evidence) - _SHOWN
    return [
        "",
        f"{number}. {found.code} {found.title} ({word})",
        *(f"   {line}" for line in found.evidence[:_SHOWN]),
        *([f"   and {more} more"] if more > 0 else []),
        f"   fix: {found.fix}",
    ]
