"""A cluster is there when its nodes take pods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cto.adapters.kind import nodes as kind_nodes
from cto.adapters.kind.config import HOLD
from cto.errors import ApiError, ToolError
from cto.objects import Manifest
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster


def node(name: str, *, ready: bool = True, taint: str = "") -> Manifest:
    taints = [{"key": taint, "effect": "NoSchedule"}] if taint else None
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"profile": "minimal"}},
        "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


LATE = [
    node("b", ready=False),
    node("b", taint="node.kubernetes.io/not-ready"),
    node("b", taint=HOLD),
]


def waited(clock: FakeClock, cluster: FakeCluster) -> list[str]:
    said: list[str] = []
    kind_nodes.wait(cluster, clock, "cto", said.append)
    return said


def test_ready_nodes_are_not_waited_for() -> None:
    clock = FakeClock()
    assert waited(clock, FakeCluster([node("a"), node("b")])) == []
    assert clock.waits == []


@pytest.mark.parametrize("late", LATE)
def test_a_late_one_is_named_once_and_waited_for(late: Manifest) -> None:
    clock, cluster = FakeClock(), FakeCluster([node("a"), late])
    clock.at(10, lambda: cluster.add(node("b")))
    assert waited(clock, cluster) == ["Waiting for b to be ready"]
    assert sum(clock.waits) == pytest.approx(10, abs=1)


def test_without_one_of_several_it_goes_on() -> None:
    said = waited(FakeClock(), FakeCluster([node("a"), node("b", ready=False)]))
    assert said[-1] == "b did not become ready: going on without"


def test_without_any_it_does_not() -> None:
    with pytest.raises(ToolError) as caught:
        waited(FakeClock(), FakeCluster([node("a", ready=False)]))
    assert caught.value.code == "CTO-1504"
    assert "a did not become ready" in caught.value.message
    assert "docker logs" in caught.value.hint


class Silent(FakeCluster):
    """An API server that does not answer before its time."""

    def __init__(self, clock: Callable[[], float], until: float) -> None:
        super().__init__([node("a")])
        self._time, self._until = clock, until

    def list(self, *args: Any, **settings: Any) -> Sequence[Manifest]:
        if self._time() < self._until:
            raise ApiError("CTO-1601", "nobody there")
        return super().list(*args, **settings)


def test_an_api_that_answers_late_is_waited_for() -> None:
    clock = FakeClock()
    cluster = Silent(clock.monotonic, clock.monotonic() + 20)
    assert waited(clock, cluster) == []


def test_one_that_never_answers_is_not_there() -> None:
    clock = FakeClock()
    with pytest.raises(ToolError) as caught:
        waited(clock, Silent(clock.monotonic, float("inf")))
    assert "its API does not answer" in caught.value.message
    assert caught.value.details == "nobody there"


def test_labels_follow_the_profile() -> None:
    cluster = FakeCluster([node("a")])
    kind_nodes.label(cluster, "minimal")
    kind_nodes.label(cluster, "standard")
    (found,) = cluster.list("v1", "Node")
    assert found["metadata"]["labels"] == {"cto": "true", "profile": "standard"}
