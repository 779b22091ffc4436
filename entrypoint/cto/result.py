"""What a command returns. The renderer in `cto.cli.output` is the only reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cto.errors import CtoError

# Raised by one when a field changes its meaning or disappears; new fields do not raise it.
SCHEMA_VERSION = 1


class CheckStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one preflight or health check.

    Attributes:
        name: Stable name, e.g. `kubernetes`.
        title: For people.
        message: One line: what was found.
        fix: What to do; empty unless failed or warning.
        code: Error code if failed.
        seconds: How long the check took.
        items: Further lines, e.g. one per object.
        manifests: Objects that would mend it, to be applied by whoever may.
    """

    name: str
    title: str
    status: CheckStatus
    message: str
    fix: str = ""
    code: str = ""
    seconds: float = 0.0
    items: tuple[str, ...] = ()
    manifests: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "status": self.status.value,
            "message": self.message,
            "fix": self.fix,
            "code": self.code,
            "seconds": round(self.seconds, 3),
            "items": list(self.items),
            **({"manifests": list(self.manifests)} if self.manifests else {}),
        }


def failed(name: str, title: str, error: CtoError) -> Check:
    """Return the check that ended with an error."""
    return Check(
        name=name,
        title=title,
        status=CheckStatus.FAILED,
        message=error.message,
        fix=error.hint,
        code=error.code,
        items=tuple(error.details.splitlines()),
    )


def unreachable(error: CtoError) -> Check:
    """Return the failed check of an API server that does not answer."""
    return failed("api", "API server", error)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command did.

    Attributes:
        command: `install`, `plan install`, ...
        data: JSON-ready; goes to stdout with `--output json`.
        text: For people; goes to stdout otherwise.
        exit_code: Of the process.
        simulated: The nodes are simulated; every screen and document says so.
    """

    command: str
    data: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    exit_code: int = 0
    simulated: bool = False
