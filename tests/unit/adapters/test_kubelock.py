"""The lock that kubectl makes beside a kubeconfig, and ours, which says whose it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cto.adapters.host import Host
from cto.adapters.kubernetes.kubeconfig.lock import KubeLock
from cto.errors import PreflightError
from cto.holder import Containers, Holder, NoContainers
from fakes.clock import FakeClock
from fakes.containers import FakeContainers
from fakes.disk import no_room_after
from fakes.machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "root")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "config"


@pytest.fixture
def path(file: Path) -> Path:
    """The lock's."""
    return file.with_name("config.lock")


def make(file: Path, host: Host, containers: Containers | None = None) -> KubeLock:
    return KubeLock(file, FakeClock(), host, containers or NoContainers())


def left(file: Path, folder: Path, containers: Containers | None = None) -> None:
    """Leave a lock behind, as somebody in another container of this machine who was killed."""
    there = FakeMachine(folder)
    there.change_pid_namespace()
    make(file, there.host, containers).acquire()


def test_it_is_there_while_it_is_held(file: Path, path: Path, machine: FakeMachine) -> None:
    containers = FakeContainers(own="abc")
    lock = make(file, machine.host, containers)
    lock.acquire()
    assert path.read_text() == f"cto {Holder.here(machine.host, containers)}"
    lock.release()
    assert list(file.parent.iterdir()) == []


def test_one_that_cannot_say_whose_it_is_is_not_left(
    file: Path, path: Path, machine: FakeMachine
) -> None:
    with no_room_after(0), pytest.raises(OSError, match="too large"):
        make(file, machine.host).acquire()
    assert not path.exists()


class TestOfOthers:
    def test_one_that_stays_is_named_with_its_age(
        self, file: Path, path: Path, machine: FakeMachine
    ) -> None:
        """As one of kubectl, which is empty."""
        path.parent.mkdir()
        path.touch()
        # The fake clock's now, 90 s ago.
        then = FakeClock().now().timestamp() - 85
        os.utime(path, (then, then))

        with pytest.raises(PreflightError, match=r"config.lock has been there for 90 s") as error:
            make(file, machine.host).acquire()

        assert error.value.code == "CTO-1404"
        assert f"rm {path}" in error.value.hint
        assert path.exists()

    def test_one_that_goes_is_waited_for(
        self, file: Path, path: Path, machine: FakeMachine
    ) -> None:
        clock = FakeClock()
        path.parent.mkdir()
        path.touch()
        clock.at(1.0, path.unlink)

        KubeLock(file, clock, machine.host, NoContainers()).acquire()

        assert 1.0 <= sum(clock.waits) < 1.1

    @pytest.mark.parametrize("text", ["kwok", "cto", "cto 4711", "cto boot=boot-1 pid=x started=1"])
    def test_one_with_another_text_is_respected(
        self, file: Path, path: Path, machine: FakeMachine, text: str
    ) -> None:
        path.parent.mkdir()
        path.write_text(text)
        with pytest.raises(PreflightError):
            make(file, machine.host).acquire()

    def test_one_that_cannot_be_read_is_respected(
        self, file: Path, path: Path, machine: FakeMachine
    ) -> None:
        path.mkdir(parents=True)
        with pytest.raises(PreflightError):
            make(file, machine.host).acquire()


class TestOfKilledRuns:
    def test_of_a_process_that_is_gone_it_is_taken_at_once(
        self, file: Path, machine: FakeMachine
    ) -> None:
        make(file, machine.host).acquire()
        machine.end(machine.host.pid)
        machine.start(machine.host.pid, "another one with its number")
        clock = FakeClock()
        KubeLock(file, clock, machine.host, NoContainers()).acquire()
        assert clock.waits == []

    def test_of_a_living_process_it_is_respected(self, file: Path, machine: FakeMachine) -> None:
        make(file, machine.host).acquire()
        with pytest.raises(PreflightError):
            make(file, machine.host).acquire()

    def test_of_a_container_that_is_gone_it_is_taken(
        self, file: Path, machine: FakeMachine, tmp_path: Path
    ) -> None:
        """Its processes are nowhere to be seen from another container; Docker is asked once."""
        left(file, tmp_path / "gone", FakeContainers(own="gone"))
        docker = FakeContainers(own="here")
        make(file, machine.host, docker).acquire()
        assert docker.asked == ["gone"]

    def test_of_our_own_container_before_it_was_started_again_it_is_taken(
        self, file: Path, machine: FakeMachine, tmp_path: Path
    ) -> None:
        left(file, tmp_path / "before", FakeContainers(own="here"))
        make(file, machine.host, FakeContainers(own="here", living={"here"})).acquire()

    @pytest.mark.parametrize("container", ["there", ""], ids=["living", "unknown"])
    def test_of_any_other_container_it_is_respected(
        self, file: Path, machine: FakeMachine, tmp_path: Path, container: str
    ) -> None:
        left(file, tmp_path / "there", FakeContainers(own=container))
        with pytest.raises(PreflightError):
            make(file, machine.host, FakeContainers(own="here", living={"there"})).acquire()

    def test_of_another_machine_it_is_respected(
        self, file: Path, machine: FakeMachine, tmp_path: Path
    ) -> None:
        """A home may be on a network, and no Docker here knows a container there."""
        left(file, tmp_path / "there", FakeContainers(own="there"))
        machine.reboot()
        with pytest.raises(PreflightError):
            make(file, machine.host, FakeContainers(own="here")).acquire()

    def test_another_one_may_clear_and_take_it_meanwhile(
        self, file: Path, path: Path, machine: FakeMachine, tmp_path: Path
    ) -> None:
        left(file, tmp_path / "gone", FakeContainers(own="gone"))

        docker = FakeContainers(own="here", meanwhile=lambda: path.write_text(""))
        with pytest.raises(PreflightError):
            make(file, machine.host, docker).acquire()
        assert path.exists()
