"""What a rule is, by which facts are signs of a cause.

A rule looks at records of one file; where all of its patterns are found, the record is evidence for
its cause. A pattern is a regular expression, or a limit; the path to what it is held against goes
through lists, of which any may fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cto.support import facts


@dataclass(frozen=True)
class Below:
    """A number under a limit; what is no number is not."""

    limit: float


@dataclass(frozen=True)
class Above:
    """A number over a limit, likewise."""

    limit: float


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of the table.

    Attributes:
        name: Stable.
        code: Of the error that it is; or the path of it in the record, in braces.
        likelihood: That it is a cause and no consequence, of 100, once it is seen.
        file: Whose facts these are.
        each: Path of the records in it; '' if it is one itself.
        where: Path in a record -> what is found there.
        says: The line of evidence, with paths in braces.
        fix: Likewise; the table of errors has it if it is empty.
    """

    name: str
    code: str
    likelihood: int
    file: str
    each: str = ""
    where: Mapping[str, str | Below | Above] = field(default_factory=dict)
    says: str
    fix: str = ""


def cause(
    row: str, code: str, likelihood: int, *, name: str = "", message: str = "", fix: str = ""
) -> Rule:
    """Return a rule about a row of `engine.waitlimits`, by which objects are not ready."""
    where = {"row": f"^({row})$", **({"text": message} if message else {})}
    return Rule(
        name=name or row.partition("|")[0],
        code=code,
        likelihood=likelihood,
        file=facts.UNREADY,
        each="objects.causes",
        where=where,
        says="{where}: {message}",
        fix=fix,
    )
