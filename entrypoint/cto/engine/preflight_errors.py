"""Refuses to begin, and names everything that is in the way at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cto.errors import ApiError, CtoError, PreflightError
from cto.result import Check, CheckStatus

NOTHING = "Nothing was changed."


@contextmanager
def all_told(checks: Callable[[], Sequence[Check]]) -> Iterator[None]:
    """Name every permission that is missing where a refusal names one.

    Args:
        checks: Makes the preflight checks as far as they can be made without what was refused.

    Raises:
        PreflightError: CTO-1400, in the place of CTO-1602.
    """
    try:
        yield
    except ApiError as error:
        if error.is_forbidden:
            refuse_failed(_as_far_as_possible(checks))
        raise


def _as_far_as_possible(checks: Callable[[], Sequence[Check]]) -> Sequence[Check]:
    try:
        return checks()
    except CtoError:
        # What was refused first is the better news.
        return ()


def refuse_failed(checks: Sequence[Check], *, so_far: str = NOTHING) -> None:
    """Raise if a preflight check failed, with all of them, and with what was done so far.

    Raises:
        PreflightError: CTO-1400, or the code of the only failed check.
    """
    failed = [check for check in checks if check.status is CheckStatus.FAILED]
    if not failed:
        return
    lines = [_check_text(check) for check in failed]
    codes = {check.code for check in failed}
    code = codes.pop() if len(codes) == 1 else ""
    code = code if code.startswith("CTO-14") else "CTO-1400"
    count = f"{len(failed)} preflight checks" if len(failed) > 1 else "a preflight check"
    hint = f"Correct what is named above, then repeat the command. {so_far}"
    raise PreflightError(code, f"{count} failed", details="\n".join(lines), hint=hint)


def _check_text(check: Check) -> str:
    lines = [f"{check.title}: {check.message}", *(f"  {item}" for item in check.items)]
    lines += [f"  fix: {check.fix}"] if check.fix else []
    if check.manifests:
        # One document, which may be indented: it can be pasted as it stands.
        lines += [f"    {line}" for line in _list_of(check.manifests)]
    return "\n".join(lines)


def _list_of(manifests: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the lines of one YAML document with all objects: each rule of a role on a line.

    What is written as JSON is YAML too.
    """
    yield from ("apiVersion: v1", "kind: List", "items:")
    for manifest in manifests:
        head = {key: value for key, value in manifest.items() if key != "rules"}
        first, *others = (f"{key}: {json.dumps(value)}" for key, value in head.items())
        yield f"- {first}"
        yield from (f"  {line}" for line in others)
        if rules := manifest.get("rules"):
            yield "  rules:"
            yield from (f"  - {json.dumps(rule)}" for rule in rules)
