"""What `status` says while a node comes back: what answers, not what objects were told before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from .engine import Engine
from .installer import Installer
from .moments import NODE
from .probes import answer, urls

pytestmark = [pytest.mark.docker, pytest.mark.slow]

# Measured: half a minute; a machine that has other things to do takes longer.
PATIENCE_S = 300.0
HEALTHY, DEGRADED = 0, 9


@dataclass(frozen=True)
class Look:
    """One look at the platform.

    Attributes:
        second: When it began, from the restart on.
        code: The exit code of `status`.
        said: Its checks that are not as they should be, or its error.
        pages: How many pages answered just before it and just after it.
    """

    second: float
    code: int
    said: str
    pages: tuple[int, int]

    def __str__(self) -> str:
        before, after = self.pages
        return f"{self.second:5.1f} s  exit {self.code}  pages {before} -> {after}  {self.said}"


def looks(installer: Installer, pages: dict[str, str]) -> Iterator[Look]:
    """Ask `status` once a second, and every page before and after."""
    began = time.monotonic()
    while (second := time.monotonic() - began) < PATIENCE_S:
        before = answering(installer.engine, pages)
        done = installer.start("status", "--output", "json").wait()
        yield Look(
            second,
            done.returncode,
            said(json_of(done.stdout)),
            (before, answering(installer.engine, pages)),
        )
        time.sleep(max(0.0, second + 1 - (time.monotonic() - began)))


def json_of(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def said(document: dict[str, Any]) -> str:
    if document["error"]:
        return f"{document['error']['code']} {document['error']['message']}"
    bad = [one for one in document["data"]["checks"] if one["status"] in ("failed", "warning")]
    return "; ".join(f"{one['name']}: {one['message']}" for one in bad)


def answering(engine: Engine, pages: dict[str, str]) -> int:
    with ThreadPoolExecutor(len(pages)) as pool:
        return sum(pool.map(lambda url: answer(engine, url, timeout_s=1) == 200, pages.values()))


def test_status_is_never_healthy_while_nothing_answers(
    installer: Installer, tell: list[str]
) -> None:
    pages = urls(installer.install("minimal"))
    installer.run("status", code=HEALTHY)
    installer.engine.run("restart", "--time=0", NODE)
    seen: list[Look] = []
    for look in looks(installer, pages):
        seen.append(look)
        if look.code == HEALTHY and look.pages == (len(pages), len(pages)):
            break
    tell.append("\n".join(["", *map(str, seen)]))
    assert seen[-1].code == HEALTHY, seen[-1]
    assert [look for look in seen if look.code != HEALTHY]
    assert [look for look in seen if look.code == HEALTHY and not any(look.pages)] == []
