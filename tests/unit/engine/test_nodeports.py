"""Ports that a killed request left reserved are waited for; those that a Service has are not."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event as Flag

import pytest

from cto.engine.nodeports import LONGEST_S, PortsWatch, ReservedPorts, refused_ports
from cto.engine.verdict import Verdict
from cto.errors import ApiError, Cancelled, ToolError
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster

REFUSED = ToolError(
    "CTO-1500",
    "helm ended with code 1",
    details='Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port '
    "is already allocated\nError: UPGRADE FAILED: spec.ports[0].nodePort: Invalid value: 30080: "
    "provided port is already allocated",
)
ALLOCATED = ApiError("CTO-1605", "invalid", reason="Invalid")


@dataclass
class Lab:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: FakeClock = field(default_factory=FakeClock)
    cancel: Flag = field(default_factory=Flag)
    ports: ReservedPorts = field(init=False)

    def __post_init__(self) -> None:
        self.ports = ReservedPorts(self.cluster, self.clock)

    def reserved(self, looks: int) -> None:
        """Let the port be free only after so many looks."""
        self.cluster.fail_next("create", ALLOCATED, kind="Service", times=looks)

    def wait(self) -> None:
        self.ports.wait("web", "default", REFUSED, self.cancel)


def test_the_ports_are_read_from_what_helm_says() -> None:
    assert refused_ports(REFUSED) == (30080,)
    assert refused_ports(ToolError("CTO-1500", "x", details="it broke")) == ()


def test_it_waits_until_the_port_is_free_and_leaves_no_service() -> None:
    lab = Lab()
    lab.reserved(3)
    lab.wait()
    assert lab.clock.waits == [5, 5, 5]
    assert not lab.cluster.list("v1", "Service")
    assert lab.ports.told == {}


def test_a_service_that_has_the_port_is_named_at_once() -> None:
    lab = Lab()
    metadata = {"name": "theirs", "namespace": "shop"}
    spec = {"ports": [{"port": 80, "nodePort": 30080}]}
    lab.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    lab.reserved(1)
    with pytest.raises(ToolError, match="30080 by Service shop/theirs") as caught:
        lab.wait()
    assert caught.value.code == "CTO-1505"
    assert lab.clock.waits == []


def test_a_port_that_stays_reserved_is_helms_own_error() -> None:
    lab = Lab()
    lab.reserved(1000)
    with pytest.raises(ToolError) as caught:
        lab.wait()
    assert caught.value is REFUSED
    assert sum(lab.clock.waits) == pytest.approx(LONGEST_S)


def test_other_troubles_of_the_api_are_told_as_they_are() -> None:
    lab = Lab()
    lab.cluster.fail_next("create", ApiError("CTO-1601", "no answer"), kind="Service")
    with pytest.raises(ApiError, match="no answer"):
        lab.wait()


def test_an_interruption_ends_the_wait() -> None:
    lab = Lab()
    lab.reserved(1000)
    lab.cancel.set()
    with pytest.raises(Cancelled):
        lab.wait()
    assert lab.ports.told == {}


class Hooks:
    def evaluate(self) -> Verdict:
        return Verdict(done=False, message="a hook")


def test_what_is_waited_for_is_told_and_has_time() -> None:
    lab = Lab()
    watch = PortsWatch(lab.ports, "web", Hooks())
    seen: list[Verdict] = []
    lab.reserved(1)
    lab.clock.at(2, lambda: seen.append(watch.evaluate()))
    lab.wait()
    assert seen[0].patient
    assert "node port 30080 is still reserved" in seen[0].message
    assert watch.evaluate() == Verdict(done=False, message="a hook")
