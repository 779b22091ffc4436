"""What a user is told about an exception, whatever it is."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from cto import storage
from cto.errors import KINDS, Cancelled, CtoError, Exit

_INTERRUPTED = "INTERRUPTED"
_PACKAGE = Path(__file__).resolve().parent.parent
_ROOT = _PACKAGE.parent
# Their texts name code and files. Any other exception's text may hold a value that it stumbled
# over, and the value may be a secret: pydantic quotes its input, int() what it cannot read.
_TELLABLE = (
    AssertionError,
    AttributeError,
    CtoError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RecursionError,
    TypeError,
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """The end of a command that did not return a result."""

    code: str
    title: str
    message: str
    details: str = ""
    fix: str = ""
    exit_code: int

    def redacted(self, redact: Callable[[str], str]) -> Failure:
        """Return it without the secrets that others put into their messages."""
        return replace(
            self,
            message=redact(self.message),
            details=redact(self.details),
            fix=redact(self.fix),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "title": self.title,
            "message": self.message,
            "details": self.details,
            "fix": self.fix,
        }

    def __str__(self) -> str:
        lines = [f"✗ {self.code} {self.title} (exit code {self.exit_code})"]
        lines += _indented("  ", self.message)
        lines += _indented("    ", self.details)
        if self.fix:
            first, *rest = self.fix.splitlines()
            lines += [f"  Fix: {first}", *_indented("       ", "\n".join(rest))]
        if self.code in KINDS:
            lines.append(f"  More: cto explain {self.code}")
        return "\n".join(lines)


def failure_of(error: BaseException) -> Failure:
    """Return what to tell about an exception."""
    match _culprit(error):
        case CtoError() as known:
            return _known(known)
        case click.ClickException() as wrong:
            return _usage(wrong)
        case OSError() as refusal if storage.is_refusal(refusal):
            return _known(storage.refused(refusal))
        case KeyboardInterrupt() | click.Abort() | Cancelled() as stopped:
            return _interrupted(stopped)
        case unexpected:
            return _internal(unexpected)


def trace_of(error: BaseException) -> str:
    """Return the traceback, with the texts of only those exceptions that cannot hold a secret."""
    lines: list[str] = []
    link: BaseException | None = error
    while link is not None:
        block = ["Traceback (most recent call last):\n", *traceback.format_tb(link.__traceback__)]
        lines[:0] = [*block, f"{_told(link)}\n"]
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "".join(lines).rstrip()


def _culprit(error: BaseException) -> BaseException:
    """A run that was stopped because of an error failed by that error."""
    link: BaseException | None = error
    while isinstance(link, Cancelled):
        link = link.__cause__
    return link or error


def _known(error: CtoError) -> Failure:
    return Failure(
        code=error.code,
        title=error.kind.title,
        message=error.message,
        details=error.details,
        fix=error.hint,
        exit_code=error.exit_code,
    )


def _usage(error: click.ClickException) -> Failure:
    kind = KINDS["CTO-1200"]
    context = getattr(error, "ctx", None)
    return Failure(
        code=kind.code,
        title=kind.title,
        message=error.format_message(),
        fix=f"See `{context.command_path} --help`." if context else kind.fix,
        exit_code=kind.exit_code,
    )


def _interrupted(error: BaseException) -> Failure:
    """Tell how far a run got that was interrupted; what was only cancelled says all itself."""
    told = "" if isinstance(error, click.Abort) else str(error)
    fix = "Run the same command again"
    if told:
        is_run = isinstance(error, KeyboardInterrupt)
        fix = f"{fix}: it goes on from where this run stopped." if is_run else ""
    else:
        fix = f"{fix}."
    return Failure(
        code=_INTERRUPTED,
        title="Interrupted",
        message=told or "The command was asked to stop.",
        fix=fix,
        exit_code=Exit.INTERRUPTED,
    )


def _internal(error: BaseException) -> Failure:
    kind = KINDS["CTO-1100"]
    return Failure(
        code=kind.code,
        title=kind.title,
        message=f"Unexpected {type(error).__name__}{_where(error)}",
        details=str(error) if isinstance(error, _TELLABLE) else "",
        fix=kind.fix,
        exit_code=kind.exit_code,
    )


def _where(error: BaseException) -> str:
    """Return the last line of ours that was reached."""
    files = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    ours = [(file, line) for file, line in files if file.is_relative_to(_PACKAGE)]
    return f" in {ours[-1][0].relative_to(_ROOT)}:{ours[-1][1]}" if ours else ""


def _told(error: BaseException) -> str:
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{name}: {error}" if isinstance(error, _TELLABLE) else f"{name} (text withheld)"


def _indented(indent: str, text: str) -> list[str]:
    return [indent + line for line in text.splitlines()]
