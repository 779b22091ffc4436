"""What must be there before a simulated cluster is made."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from cto.adapters.kwok.config import NEEDED_TOOLS
from cto.errors import CtoError
from cto.result import Check, CheckStatus, Topic

_KWOK_TOOLS = Topic("kwok-tools", "Programs for a simulated cluster")


class Programs(Protocol):
    """What `adapters.tools.Tools` does, as far as it matters here."""

    def path(self, name: str) -> Path: ...
    def version(self, name: str) -> str: ...
    def is_given(self, name: str) -> bool: ...
    def source(self, name: str) -> str: ...


def tools_check(tools: Programs) -> Check:
    """Tell where each program would come from, without fetching any."""
    lines, problems = [], []
    for name in NEEDED_TOOLS:
        try:
            lines.append(f"{name}: {tools.source(name)}")
        except CtoError as error:
            problems.append(f"{name}: {error.message}")
    return _KWOK_TOOLS.check(
        CheckStatus.FAILED if problems else CheckStatus.PASSED,
        f"{len(problems)} of {len(NEEDED_TOOLS)} programs cannot be had"
        if problems
        else f"{len(NEEDED_TOOLS)} programs",
        fix="Give a folder with these programs: --tools DIR" if problems else "",
        code="CTO-1501" if problems else "",
        items=tuple(problems or lines),
    )
