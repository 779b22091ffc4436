"""What can be measured of Docker's machine depends on where we run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cto.adapters.docker.container import DockerContainer
from cto.adapters.docker.host import DockerHost, DockerLocation, sweep
from cto.errors import ToolError
from fakes.docker import FakeDocker
from fakes.machine import FakeMachine

OWN = DockerContainer(id="0a" * 32, name="installer", image_id="sha256:own")


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    made = FakeMachine(tmp_path)
    made.host.name = "laptop"
    folder = tmp_path / "proc/sys/fs/inotify"
    folder.mkdir(parents=True)
    (folder / "max_user_instances").write_text("128\n")
    (folder / "max_user_watches").write_text("8192\n")
    (tmp_path / "var/lib/docker").mkdir(parents=True)
    return made


def ground(
    machine: FakeMachine, *, host: str = "laptop", endpoint: str = "unix:///x", **settings: object
) -> tuple[DockerHost, FakeDocker]:
    docker = FakeDocker()
    docker.info = replace(docker.info, host=host, endpoint=endpoint, **settings)  # type: ignore[arg-type] # its fields
    made = DockerHost(docker, machine.host, root=machine.root, is_free=lambda port: port != 8080)
    return made, docker


def inside(machine: FakeMachine) -> tuple[DockerHost, FakeDocker]:
    made, docker = ground(machine, host="elsewhere")
    docker.add(OWN)
    image = docker.add_image("cto")
    docker.images["cto"] = replace(image, id="sha256:own")
    docker.inside = "installer"
    return made, docker


class TestStanding:
    def test_inside_a_container_of_it(self, machine: FakeMachine) -> None:
        assert inside(machine)[0].location is DockerLocation.INSIDE

    def test_beside_it(self, machine: FakeMachine) -> None:
        assert ground(machine)[0].location is DockerLocation.BESIDE
        assert ground(machine, endpoint="tcp://127.0.0.1:2375")[0].location is DockerLocation.BESIDE

    def test_before_a_virtual_machine(self, machine: FakeMachine) -> None:
        assert ground(machine, host="docker-desktop")[0].location is DockerLocation.DESKTOP

    @pytest.mark.parametrize("endpoint", ["tcp://192.0.2.1:2376", "ssh://me@far", "tcp://docker"])
    def test_on_another_machine(self, machine: FakeMachine, endpoint: str) -> None:
        assert ground(machine, endpoint=endpoint)[0].location is DockerLocation.REMOTE

    def test_in_a_container_that_it_does_not_know(self, machine: FakeMachine) -> None:
        (machine.root / ".dockerenv").touch()
        assert ground(machine, host="vm")[0].location is DockerLocation.NESTED
        assert ground(machine, host="laptop")[0].location is DockerLocation.BESIDE


class TestMeasuring:
    def test_beside_it_everything_is_seen(self, machine: FakeMachine) -> None:
        made, _ = ground(machine)
        assert (made.free_disk() or 0) > 0
        assert made.inotify() == (128, 8192)
        assert made.taken((8080, 3000)) == {8080}

    def test_inside_the_kernel_and_the_disk_are_seen(self, machine: FakeMachine) -> None:
        made, _ = inside(machine)
        assert (made.free_disk() or 0) > 0
        assert made.inotify() == (128, 8192)

    def test_before_a_virtual_machine_only_ports_are(self, machine: FakeMachine) -> None:
        made, _ = ground(machine, host="docker-desktop")
        assert (made.free_disk(), made.inotify()) == (None, None)
        assert made.taken((8080, 3000)) == {8080}

    def test_what_cannot_be_read_is_not_known(self, machine: FakeMachine) -> None:
        made, _ = ground(machine, root="/nonexistent")
        assert made.free_disk() is None
        (machine.root / "proc/sys/fs/inotify/max_user_watches").unlink()
        assert made.inotify() is None

    def test_without_root_low_ports_are_not_to_be_had(self, machine: FakeMachine) -> None:
        made, _ = ground(machine, rootless=True)
        assert made.taken((80, 3000)) == {80}


class TestPortsFromInside:
    def test_docker_tries_all_at_once_where_they_are_free(self, machine: FakeMachine) -> None:
        made, docker = inside(machine)
        assert made.taken((80, 8080)) == frozenset()
        assert docker.names() == ["installer"]

    def test_the_taken_ones_are_found_one_by_one(self, machine: FakeMachine) -> None:
        made, docker = inside(machine)
        docker.busy = {8080}
        assert made.taken((80, 8080, 3000)) == {8080}
        assert docker.names() == ["installer"]

    def test_what_docker_has_published_needs_no_try(self, machine: FakeMachine) -> None:
        made, docker = inside(machine)
        docker.add(DockerContainer(id="", name="web", ports={80: 8080}))
        docker.images.clear()
        assert made.taken((8080,)) == {8080}

    def test_an_image_without_the_program_tells_nothing_about_ports(
        self, machine: FakeMachine
    ) -> None:
        made, docker = inside(machine)

        def refuse(name: str) -> None:
            text = 'exec: "true": executable file not found'
            raise ToolError("CTO-1520", f"docker start {name} failed", details=text)

        docker.start = refuse  # type: ignore[method-assign] # a fake that fails
        assert made.taken((80,)) == frozenset()


def test_tries_of_the_dead_are_swept_and_those_of_the_living_left_alone() -> None:
    docker = FakeDocker()
    docker.add(OWN)
    docker.add(replace(OWN, id="0b" * 32, name="ended", state="exited"))
    for name, owner in (("ours", OWN.id), ("ended's", "0b" * 32), ("gone's", "0c" * 32)):
        labels = {"cto.dev/role": "ports", "cto.dev/of": owner}
        docker.add(DockerContainer(id="", name=name, labels=labels, state="created"))
    docker.add(
        DockerContainer(id="", name="older", labels={"cto.dev/role": "ports"}, state="created")
    )
    sweep(docker)
    assert {one.name for one in docker.containers()} == {"installer", "ended", "ours"}
