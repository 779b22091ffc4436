"""Names likely causes: holds the table of rules against facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cto.engine.evidence import one_line
from cto.errors import KINDS
from cto.support.patterns import Above, Below, Rule
from cto.support.rules import RULES

_FIELD = re.compile(r"\{([\w.]+)\}")
_UNKNOWN = "CTO-1900"
_LONGEST = 400


@dataclass(frozen=True, kw_only=True)
class LikelyCause:
    """A likely cause.

    Attributes:
        rule: Its name in the table.
        likelihood: Of 100.
        evidence: What was seen, a line each.
    """

    rule: str
    code: str
    likelihood: int
    evidence: tuple[str, ...]
    fix: str

    @property
    def title(self) -> str:
        return KINDS[self.code].title

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "code": self.code,
            "title": self.title,
            "likelihood": self.likelihood,
            "evidence": list(self.evidence),
            "fix": self.fix,
        }


def diagnosed(files: Mapping[str, Any], rules: Sequence[Rule] = RULES) -> list[LikelyCause]:
    """Return what the facts point to, the most likely first.

    Args:
        files: Decoded JSON, by file.
        rules: The table.
    """
    found = [finding for rule in rules for finding in _findings(rule, files.get(rule.file))]
    # What the table has first comes first where two are as likely.
    return sorted(found, key=lambda finding: -finding.likelihood)


def _findings(rule: Rule, data: Any) -> Iterator[LikelyCause]:
    """Yield one finding per code and fix, with the evidence of every record."""
    seen: dict[tuple[str, str], list[str]] = {}
    for record in _at(data, rule.each):
        if all(_fits(record, path, pattern) for path, pattern in rule.where.items()):
            code = _filled(rule.code, record)
            # Of a newer cto, or of a file that somebody changed.
            code = code if code in KINDS else _UNKNOWN
            fix = _filled(rule.fix, record) or KINDS[code].fix
            seen.setdefault((code, fix), []).append(_filled(rule.says, record))
    for (code, fix), lines in seen.items():
        yield LikelyCause(
            rule=rule.name,
            code=code,
            likelihood=rule.likelihood,
            evidence=tuple(dict.fromkeys(lines)),
            fix=fix,
        )


def _at(data: Any, path: str) -> Iterator[Any]:
    """Yield what is at a path; lists on the way, and at its end, are gone through."""
    if isinstance(data, list):
        for item in data:
            yield from _at(item, path)
    elif not path:
        if data is not None:
            yield data
    elif isinstance(data, Mapping):
        first, _, rest = path.partition(".")
        if first in data:
            yield from _at(data[first], rest)


def _fits(record: Any, path: str, pattern: str | Below | Above) -> bool:
    values = list(_at(record, path))
    match pattern:
        case Below(limit):
            return any(_is_number(value) and value < limit for value in values)
        case Above(limit):
            return any(_is_number(value) and value > limit for value in values)
        case _:
            return any(re.search(pattern, _text(value)) for value in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _filled(template: str, record: Any) -> str:
    """Put what is at the paths in braces into a text."""

    def value(found: re.Match[str]) -> str:
        return ", ".join(_text(one) for one in _at(record, found[1]))

    return one_line(_FIELD.sub(value, template), _LONGEST)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
