"""The marker is the lock, and the proof that a cluster is ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.adapters.docker.container import DockerContainer
from cto.adapters.kind.marker import Marker, Stage
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
    docker.add(DockerContainer(id="", name="cto-kind-cto.making"))
    for call in (marker.find, lambda: take(marker)):
        with pytest.raises(ToolError) as caught:
            call()
        assert caught.value.code == "CTO-1522"


def test_what_docker_cannot_do_is_told(machine: FakeMachine) -> None:
    with pytest.raises(ToolError) as caught:
        take(Marker(FakeDocker(), machine.host, "cto"))
    assert caught.value.code == "CTO-1520"


def test_whoever_makes_it_lives_until_he_ends(marker: Marker, machine: FakeMachine) -> None:
    take(marker)
    assert marker.lives(marker.find()) is True
    machine.end(machine.host.pid)
    assert marker.lives(marker.find()) is False


def test_whoever_made_it_in_a_container_lives_at_most_as_long(
    marker: Marker, docker: FakeDocker, machine: FakeMachine
) -> None:
    other = docker.add(DockerContainer(id="", name="other"))
    docker.inside = "other"
    take(marker)
    docker.inside = ""
    machine.change_pid_namespace()
    # Some daemons call themselves otherwise each time; the marker is in the very one.
    docker.info = replace(docker.info, id="daemon-2")
    assert marker.lives(marker.find()) is None
    docker.stop(other.id)
    assert marker.lives(marker.find()) is False


def test_a_restart_of_the_machine_ends_it(marker: Marker, machine: FakeMachine) -> None:
    take(marker)
    machine.reboot()
    assert marker.lives(marker.find()) is False


def test_of_another_pid_namespace_nothing_is_known(marker: Marker, machine: FakeMachine) -> None:
    take(marker)
    machine.change_pid_namespace()
    assert marker.lives(marker.find()) is None


def test_a_lock_that_nobody_can_judge_tells_how_to_take_it_away(marker: Marker) -> None:
    take(marker)
    hint = marker.locked(marker.find()).hint
    assert "label=io.x-k8s.kind.cluster=cto" in hint
    assert "cto-kind-cto.making" in hint
