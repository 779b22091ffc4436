"""What is wrong with a configuration: every finding is one line, all of them one error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cto.errors import ConfigError, nearest

Path: TypeAlias = tuple[str | int, ...]

_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USERINFO = re.compile(r"//[^/@\s]*@")
_SHOWN_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One value that does not fit.

    Attributes:
        path: Dotted path of the field; may be empty.
        value: The value as written, never that of a secret; empty if it is not to be shown.
        origin: Where the value came from: `cto.yaml:12`, `env CTO_PROFILE`.
        reason: Why it does not fit.
        fix: What to write instead; may be empty.
        code: A code of the error table.
    """

    path: str
    value: str = ""
    origin: str
    reason: str
    fix: str = ""
    code: str = "CTO-1300"

    def __str__(self) -> str:
        value = f" {_shown(self.value)!r}" if self.value else ""
        place = f"{self.path}{value} ({self.origin})" if self.path else self.origin
        fix = f"; {self.fix}" if self.fix else ""
        return f"{place}: {self.reason}{fix}"


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: `components.grafana.values."grafana.ini".server`."""
    return ".".join(_segment(part) for part in path)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `did you mean NAME?`, else the list of what there is."""
    choices = list(choices)
    found = nearest(word, choices)
    if found:
        return f"did you mean {found}?"
    return f"take one of: {', '.join(choices)}" if choices else ""


def failure(problems: Sequence[Problem], *, hint: str = "") -> ConfigError:
    """Return the one error that tells all problems, in the order of their fields' first mention."""
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    codes = {problem.code for problem in problems}
    code = codes.pop() if len(codes) == 1 else "CTO-1300"
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    text = f"The configuration has {count}."
    return ConfigError(code, text, details="\n".join(lines), hint=hint)


def _segment(part: str | int) -> str:
    text = str(part)
    return text if _SIMPLE_KEY.fullmatch(text) else f'"{text}"'


def _shown(value: str) -> str:
    """Shorten a value, and take out what people paste by mistake: keys, URLs with passwords."""
    if "\n" in value or value.startswith("-----"):
        return "..."
    value = _USERINFO.sub("//...@", value)
    return value if len(value) <= _SHOWN_LENGTH else f"{value[:_SHOWN_LENGTH]}..."
