"""The machine's processes, read from a /proc in a folder, and the lock on a folder."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cto.adapters.host import Host, Process
from cto.adapters.kwok import lock as folderlock
from cto.adapters.kwok.lock import exclusive
from fakes.machine import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_living_processes_have_their_command_line(machine: FakeMachine) -> None:
    started = machine.start(7, "/bin/a", "b c", "")
    machine.start(8, "zombie", state="Z")
    machine.start(9)  # a thread of the kernel has none

    found = {process.pid: process for process in machine.host.processes()}

    assert found[7] == Process(7, started, ("/bin/a", "b c"))
    assert set(found) == {7, machine.host.pid}


def test_a_process_that_does_not_live_was_never_started(machine: FakeMachine) -> None:
    assert machine.host.started(4711) == ""
    assert machine.host.started(machine.host.pid)


@pytest.mark.parametrize(("force", "number"), [(True, signal.SIGKILL), (False, signal.SIGTERM)])
def test_a_process_is_asked_or_killed(
    machine: FakeMachine, number: signal.Signals, *, force: bool
) -> None:
    machine.start(7, "a")
    (process,) = [p for p in machine.host.processes() if p.pid == 7]

    machine.host.end(process, force=force)

    assert machine.killed == [(7, number)]


def test_another_process_of_the_same_number_is_never_ended(machine: FakeMachine) -> None:
    machine.start(7, "b")

    machine.host.end(Process(7, "1", ("a",)), force=True)

    assert machine.killed == []


def test_a_process_that_ends_meanwhile_is_no_error(machine: FakeMachine) -> None:
    started = machine.start(7, "a")

    def gone(pid: int, number: int) -> None:
        raise ProcessLookupError(pid)

    Host(machine.root, gone).end(Process(7, started, ("a",)), force=True)

    assert machine.pids() == {7}


@pytest.mark.parametrize("mark", [".dockerenv", "run/.containerenv"])
def test_containers_are_known_by_their_marks(machine: FakeMachine, mark: str) -> None:
    assert not machine.host.in_container
    (machine.root / mark).parent.mkdir(exist_ok=True)
    (machine.root / mark).touch()

    assert machine.host.in_container


def test_a_lock_whose_file_was_removed_or_replaced_does_not_count(tmp_path: Path) -> None:
    """The last holder removes file and folder, at the worst between our opening and locking."""
    file = tmp_path / "state" / "lock"
    with exclusive(file.parent), file.open() as locked:
        assert folderlock._still_there(locked.fileno(), file)
        file.unlink()
        file.touch()
        assert not folderlock._still_there(locked.fileno(), file)
        file.unlink()
        file.parent.rmdir()
        assert not folderlock._still_there(locked.fileno(), file)

    with exclusive(file.parent):
        assert file.exists()


def test_a_stopped_process_is_told_from_one_that_runs(machine: FakeMachine) -> None:
    machine.start(7, "a", state="T")
    machine.start(8, "b")
    assert [machine.host.is_stopped(pid) for pid in (7, 8, 4711)] == [True, False, False]


def test_system_and_memory_are_told_where_the_machine_tells_them(machine: FakeMachine) -> None:
    assert (machine.host.system, machine.host.memory) == ("", (0, 0))
    (machine.root / "usr/lib").mkdir(parents=True)
    (machine.root / "usr/lib/os-release").write_text('NAME=x\nPRETTY_NAME="Alpine Linux v3.22"\n')
    (machine.root / "proc/meminfo").write_text("MemTotal:  8 kB\nMemAvailable:  2 kB\nX: 1 kB\n")
    assert machine.host.system == "Alpine Linux v3.22"
    assert machine.host.memory == (8192, 2048)
