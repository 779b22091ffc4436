"""Turns a report with failures into the one error that a command ends with."""

from __future__ import annotations

from cto.cli.describe import counted
from cto.engine.report import Report
from cto.errors import CtoError


def raise_errors(report: Report) -> None:
    """Raise the first failure of a run, naming all others.

    Raises:
        CtoError: What the step raised.
    """
    failed = [run for run in report.runs if run.error is not None]
    if not failed:
        return
    error = failed[0].error
    assert error is not None  # noqa: S101 - chosen so; for the type checker
    notes = [f"also failed: {run.title}: {run.message}" for run in failed[1:]]
    if report.not_run:
        notes.append(f"not begun because of that: {counted(len(report.not_run), 'step')}")
    notes.append(
        "What worked stays as it is. Once that is mended, the same command goes on from here."
    )
    raise _with_notes(error, notes)


def _with_notes(error: CtoError, notes: list[str]) -> CtoError:
    return error.told(details="\n".join([*([error.details] if error.details else []), *notes]))
