"""The marker is the lock, and the proof that a cluster is ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.adapters.container import Container
from cto.adapters.kind_marker import Holder, Marker, Stage
from cto.errors import LockedError, ToolError
from fakes.docker import FakeDocker
from fakes.machine import FakeMachine

IMAGE = "kindest/node:v1.34.0"


@pytest.fixture
def docker() -> FakeDocker:
    made = FakeDocker()
    made.add_image(IMAGE)
    return made


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    made = FakeMachine(tmp_path)
    made.host.name = "laptop"
    return made


@pytest.fixture
def marker(docker: FakeDocker, machine: FakeMachine) -> Marker:
    return Marker(docker, machine.host, "cto")


def take(marker: Marker) -> None:
    marker.take(IMAGE, nodes=3, makes_network=True)


def test_its_stages_are_its_names(marker: Marker, docker: FakeDocker) -> None:
    assert marker.find().stage is Stage.NONE
    assert marker.find().nodes == 0
    take(marker)
    found = marker.find()
    assert (found.stage, found.nodes, found.made_network) == (Stage.MAKING, 3, True)
    assert docker.names() == ["cto-kind-cto.making"]
    marker.finish()
    assert marker.find().stage is Stage.MADE
    assert docker.names() == ["cto-kind-cto"]
    marker.begin_removal(marker.find())
    assert marker.find().stage is Stage.MAKING
    marker.begin_removal(marker.find())
    marker.release(marker.find())
    marker.release(marker.find())
    assert docker.names() == []


def test_the_network_of_one_cluster_is_that_of_the_next(
    marker: Marker, docker: FakeDocker, machine: FakeMachine
) -> None:
    other = Marker(docker, machine.host, "two")
    assert not other.any_made_network()
    take(marker)
    assert other.any_made_network()


def test_two_cannot_have_it(marker: Marker) -> None:
    take(marker)
    with pytest.raises(LockedError) as caught:
        take(marker)
    assert caught.value.code == "CTO-2000"


def test_a_release_never_takes_what_was_made_meanwhile(marker: Marker) -> None:
    take(marker)
    old = marker.find()
    marker.release(old)
    take(marker)
    marker.release(old)
    assert marker.find().stage is Stage.MAKING


def test_a_container_of_somebody_else_with_its_name_is_an_error(
    marker: Marker, docker: FakeDocker
) -> None:
    docker.add(Container(id="", name="cto-kind-cto.making"))
    for call in (marker.find, lambda: take(marker)):
        with pytest.raises(ToolError) as caught:
            call()
        assert caught.value.code == "CTO-1522"


def test_what_docker_cannot_do_is_told(machine: FakeMachine) -> None:
    with pytest.raises(ToolError) as caught:
        take(Marker(FakeDocker(), machine.host, "cto"))
    assert caught.value.code == "CTO-1520"


class TestHolder:
    def test_it_is_read_as_it_was_written(self, machine: FakeMachine) -> None:
        here = Holder.here(machine.host, None)
        assert Holder.parse(str(here)) == here
        assert Holder.parse("somebody") == Holder(host="somebody")

    def test_a_process_of_this_machine_lives_until_it_ends(
        self, machine: FakeMachine, docker: FakeDocker
    ) -> None:
        started = machine.start(4711, "cto")
        other = replace(Holder.here(machine.host, None), pid="4711", started=started)
        assert other.lives(machine.host, docker) is True
        assert replace(other, started="1").lives(machine.host, docker) is False
        machine.end(4711)
        assert other.lives(machine.host, docker) is False

    def test_a_restart_of_the_machine_ends_it(
        self, machine: FakeMachine, docker: FakeDocker
    ) -> None:
        before = Holder.here(machine.host, None)
        machine.reboot()
        assert before.lives(machine.host, docker) is False

    def test_of_another_pid_namespace_nothing_is_known(
        self, machine: FakeMachine, docker: FakeDocker
    ) -> None:
        other = replace(Holder.here(machine.host, None), pidns="pid:[1]")
        assert other.lives(machine.host, docker) is None
        assert Holder.parse("").lives(machine.host, docker) is None

    def test_a_container_lives_as_long_as_docker_runs_it(
        self, machine: FakeMachine, docker: FakeDocker
    ) -> None:
        running = docker.add(Container(id="", name="other"))
        holder = Holder(container=running.id, pid="7", pidns="pid:[1]")
        assert holder.lives(machine.host, docker) is True
        docker.pause("other")
        assert holder.lives(machine.host, docker) is True
        docker.stop("other")
        assert holder.lives(machine.host, docker) is False
        docker.remove("other")
        assert holder.lives(machine.host, docker) is False

    def test_our_own_container_started_again_has_new_processes(
        self, machine: FakeMachine, docker: FakeDocker
    ) -> None:
        own = docker.add(Container(id="", name="own"))
        docker.inside = "own"
        before = replace(Holder.here(machine.host, own), pidns="pid:[1]")
        assert before.lives(machine.host, docker) is False
        assert Holder.here(machine.host, own).lives(machine.host, docker) is True

    @pytest.mark.parametrize(
        ("holder", "who", "look"),
        [
            (Holder(container="0" * 64, pid="7"), "Process 7 in the container 0000", "docker ps"),
            (Holder(host="laptop", pid="7"), "Process 7 on laptop", "ps -o pid,lstart,args -p 7"),
            (Holder(host="x y"), "x y", "-p PID"),
            (Holder(), "Somebody", "its machine"),
        ],
    )
    def test_it_is_described(self, holder: Holder, who: str, look: str) -> None:
        assert who in holder.described()
        assert look in holder.look()

    def test_a_lock_that_nobody_can_judge_tells_how_to_take_it_away(self, marker: Marker) -> None:
        take(marker)
        hint = marker.locked(marker.find()).hint
        assert "label=io.x-k8s.kind.cluster=cto" in hint
        assert "cto-kind-cto.making" in hint
