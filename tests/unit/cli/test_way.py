"""The way of one install: what of it is done once, and how far it is to the cluster."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import cto
from cto.plan.build import install
from cto.plan.selection import select
from fakes.cluster import FakeCluster
from fakes.desk import Desk
from fakes.provider import FakeProvider

_OURS = str(Path(cto.__file__).parent)
_FIRST = str(Path(_OURS) / "cli" / "install.py")


class Way:
    """Watches a run: how often what is called, and who is between the command and the API."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.hops: tuple[str, ...] = ()

    def watch(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        self.calls[frame.f_code] += 1
        if not self.hops and frame.f_code is FakeCluster.uid.__code__:
            self.hops = tuple(_hops(frame))


def _hops(frame: FrameType | None) -> Iterator[str]:
    """Yield our functions from the API upwards, until click called the command."""
    while frame:
        file = frame.f_code.co_filename
        if file.startswith(_OURS):
            yield f"{Path(file).relative_to(_OURS)}: {frame.f_code.co_name}"
        if file == _FIRST:
            return
        frame = frame.f_back


def test_an_install_selects_once_plans_once_and_goes_straight_to_the_cluster(desk: Desk) -> None:
    desk.kwok = FakeProvider(name="kwok", kubeconfig=desk.kubeconfig)
    way = Way()
    sys.setprofile(way.watch)
    try:
        result = desk.cto("install", "--provider", "kwok", existing=False)
    finally:
        sys.setprofile(None)
    assert result.exit_code == 0, result.output
    assert way.calls[select.__code__] == 1
    assert way.calls[install.__code__] == 1
    assert 0 < len(way.hops) <= 12, way.hops
