"""Whether whoever holds a lock still lives, as far as that can be known from here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.holder import Holder, NoContainers
from fakes.containers import FakeContainers
from fakes.machine import FakeMachine

NOBODY = NoContainers()


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    made = FakeMachine(tmp_path)
    made.host.name = "laptop"
    return made


def inside(machine: FakeMachine, container: str, *, daemon: str = "daemon-1") -> Holder:
    """Return a process of a container, which has process numbers of its own."""
    here = Holder.here(machine.host, FakeContainers(own=container, daemon=daemon))
    return replace(here, host=container[:12], pidns="pid:[1]")


def test_it_is_read_as_it_was_written(machine: FakeMachine) -> None:
    here = Holder.here(machine.host, FakeContainers(own="abc"), nonce="n")
    assert (here.host, here.container, here.daemon) == ("laptop", "abc", "daemon-1")
    assert Holder.parse(str(here)) == here
    assert Holder.parse("some body") == Holder(host="some body")


def test_without_a_container_no_docker_is_named(machine: FakeMachine) -> None:
    assert Holder.here(machine.host, FakeContainers()).daemon == ""


def test_a_process_of_this_machine_lives_until_it_ends(machine: FakeMachine) -> None:
    started = machine.start(4711, "cto")
    other = replace(Holder.here(machine.host, NOBODY), pid="4711", started=started)
    assert other.lives(machine.host, NOBODY) is True
    assert replace(other, started="1").lives(machine.host, NOBODY) is False
    machine.end(4711)
    assert other.lives(machine.host, NOBODY) is False


def test_whether_a_stopped_process_goes_on_is_not_known(machine: FakeMachine) -> None:
    started = machine.start(4711, "cto", state="T")
    other = replace(Holder.here(machine.host, NOBODY), pid="4711", started=started)
    assert other.lives(machine.host, NOBODY) is None


@pytest.mark.parametrize("field", ["boot", "pidns", "host"])
def test_of_other_machines_and_namespaces_nothing_is_known(
    machine: FakeMachine, field: str
) -> None:
    other = replace(Holder.here(machine.host, NOBODY), pid="4711")
    assert other.lives(machine.host, NOBODY) is False
    assert replace(other, **{field: "other"}).lives(machine.host, NOBODY) is None
    assert replace(other, **{field: ""}).lives(machine.host, NOBODY) is None


def test_of_a_container_only_its_end_is_known(machine: FakeMachine) -> None:
    """In one that lives, a process need not."""
    docker = FakeContainers(living={"there"})
    assert inside(machine, "there").lives(machine.host, docker) is None
    assert inside(machine, "gone").lives(machine.host, docker) is False
    assert docker.asked == ["there", "gone"]


def test_another_docker_is_not_asked(machine: FakeMachine) -> None:
    """It would not know the container, which lives."""
    docker = FakeContainers(daemon="daemon-2")
    assert inside(machine, "gone").lives(machine.host, docker) is None
    assert inside(machine, "gone").lives(machine.host, NOBODY) is None
    assert inside(machine, "gone", daemon="").lives(machine.host, NOBODY) is None
    assert docker.asked == []


def test_a_container_of_another_machine_is_not_asked_for(machine: FakeMachine) -> None:
    """Machines that were copied from one have a Docker with the same id."""
    docker, other = FakeContainers(), inside(machine, "gone")
    machine.reboot()
    assert other.lives(machine.host, docker) is None
    assert docker.asked == []


def test_our_own_container_started_again_has_new_processes(machine: FakeMachine) -> None:
    docker = FakeContainers(own="own", living={"own"})
    assert inside(machine, "own").lives(machine.host, docker) is False
    assert Holder.here(machine.host, docker).lives(machine.host, docker) is True


@pytest.mark.parametrize(
    ("holder", "who", "look"),
    [
        (
            Holder(container="0" * 64, pid="7", host="laptop"),
            "Process 7 in the container 000000000000",
            "`docker ps --filter id=000000000000`",
        ),
        (
            Holder(host="laptop", pid="7"),
            "Process 7 on laptop",
            "`ps -o pid,lstart,args -p 7` on laptop",
        ),
        (Holder(host="x y"), "x y", ""),
        (Holder(), "Somebody", ""),
    ],
)
def test_it_is_described(holder: Holder, who: str, look: str) -> None:
    assert (holder.described, holder.look) == (who, look)
