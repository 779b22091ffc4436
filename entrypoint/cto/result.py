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


@dataclass(frozen=True)
class Topic:
    """What a check is about, and what makes its outcome."""

    name: str
    title: str

    def passed(self, message: str) -> Check:
        return self.check(CheckStatus.PASSED, message)

    def skipped(self, message: str) -> Check:
        return self.check(CheckStatus.SKIPPED, message)

    def warning(self, message: str, *, fix: str, items: tuple[str, ...] = ()) -> Check:
        return self.check(CheckStatus.WARNING, message, fix=fix, items=items)

    def failed(
        self,
        message: str,
        *,
        fix: str,
        code: str = "CTO-1400",
        items: tuple[str, ...] = (),
        manifests: tuple[dict[str, Any], ...] = (),
    ) -> Check:
        return self.check(
            CheckStatus.FAILED, message, fix=fix, code=code, items=items, manifests=manifests
        )

    def raised(self, error: CtoError) -> Check:
        """Return the check that ended with an error."""
        items = tuple(error.details.splitlines())
        return self.failed(error.message, fix=error.hint, code=error.code, items=items)

    def check(
        self,
        status: CheckStatus,
        message: str,
        *,
        fix: str = "",
        code: str = "",
        items: tuple[str, ...] = (),
        manifests: tuple[dict[str, Any], ...] = (),
    ) -> Check:
        return Check(
            name=self.name,
            title=self.title,
            status=status,
            message=message,
            fix=fix,
            code=code,
            items=items,
            manifests=manifests,
        )


def unreachable(error: CtoError) -> Check:
    """Return the failed check of an API server that does not answer."""
    return Topic("api", "API server").raised(error)


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
