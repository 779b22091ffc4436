"""`cto explain`: the table of errors, offline. docs/errors.md is made from it, too."""

from __future__ import annotations

import sys
from itertools import groupby

import click

from cto.cli.options import output_options
from cto.errors import KINDS, ErrorKind, UsageError
from cto.result import Result

_PREFACE = (
    "Made from the table in `entrypoint/cto/errors.py` by `make docs`. "
    "`cto explain CODE` shows the same, offline."
)
_GROUPS = {
    1: "a bug",
    2: "the command line",
    3: "configuration",
    4: "preflight",
    5: "external tools",
    6: "the cluster's API",
    7: "waiting",
    8: "integrity",
    9: "health",
    10: "the lock",
}


@click.command()
@click.argument("code", required=False)
@output_options()
def explain(code: str | None) -> Result:
    """Explain an error code.

    CODE is the one that an error shows, e.g. CTO-1203; 1203 will do. Without it, all are listed.
    """
    if code is None:
        kinds = list(KINDS.values())
        text = "\n".join(f"{kind.code}  {kind.exit_code:>4}  {kind.title}" for kind in kinds)
        return Result(
            command="explain",
            data={"errors": [_json(kind) for kind in kinds]},
            text=f"CODE      EXIT  TITLE\n{text}",
        )
    kind = _kind(code)
    return Result(command="explain", data={"errors": [_json(kind)]}, text=_text(kind))


def markdown() -> str:
    """Return docs/errors.md."""
    parts = [
        "# Errors",
        _PREFACE,
    ]
    for exit_code, kinds in groupby(KINDS.values(), key=lambda kind: kind.exit_code):
        parts.append(f"## Exit code {exit_code}: {_GROUPS[exit_code]}")
        parts += [
            f"### {kind.code}: {kind.title}\n\n{kind.cause}\n\n**Fix:** {kind.fix}"
            for kind in kinds
        ]
    return "\n\n".join(parts) + "\n"


def _kind(code: str) -> ErrorKind:
    name = "CTO-" + code.strip().upper().removeprefix("CTO-")
    if name not in KINDS:
        raise UsageError("CTO-1205", f"There is no error code {code!r}.")
    return KINDS[name]


def _text(kind: ErrorKind) -> str:
    return (
        f"{kind.code}  {kind.title}\n\n"
        f"Cause:      {kind.cause}\n"
        f"Fix:        {kind.fix}\n"
        f"Exit code:  {kind.exit_code}"
    )


def _json(kind: ErrorKind) -> dict[str, str | int]:
    return {
        "code": kind.code,
        "title": kind.title,
        "cause": kind.cause,
        "fix": kind.fix,
        "exit_code": kind.exit_code,
    }


if __name__ == "__main__":
    sys.stdout.write(markdown())
