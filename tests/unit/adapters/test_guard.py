"""Whether a helm of an earlier run lives: told by a lock that its children inherit."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.adapters.helm.guard import HelmGuard
from cto.errors import PreflightError, ToolError
from fakes.clock import FakeClock


class Lab:
    """A guard's folder, and an earlier run as a second open file description of its file."""

    def __init__(self, tmp: Path) -> None:
        self.clock = FakeClock()
        self.proc = tmp / "proc"
        self.proc.mkdir()
        self.file = tmp / "state/locks/uid.helm"
        self.said: list[str] = []
        self.earlier = -1

    def guard(self) -> HelmGuard:
        return HelmGuard(self.file, self.clock, self.proc)

    def live_on(self, *pids: int) -> None:
        """Let processes of an earlier run hold the lock."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.earlier = os.open(self.file, os.O_RDWR | os.O_CREAT)
        fcntl.flock(self.earlier, fcntl.LOCK_EX)
        for pid in pids:
            folder = self.proc / str(pid) / "fd"
            folder.mkdir(parents=True)
            (folder / "3").symlink_to(self.file)

    def end(self) -> None:
        if self.earlier >= 0:
            os.close(self.earlier)
        self.earlier = -1

    def is_locked(self) -> bool:
        """Ask as the next run would: with a description of its own."""
        descriptor = os.open(self.file, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.end()


def test_without_an_earlier_run_it_is_held_at_once_and_leaves_nothing(lab: Lab) -> None:
    guard = lab.guard()
    with guard.held(lab.said.append):
        assert lab.is_locked()
    guard.close()
    assert (lab.said, lab.clock.waits) == ([], [])
    assert not lab.file.parent.parent.exists()


def test_a_helm_of_an_earlier_run_is_waited_for_and_named_once(lab: Lab) -> None:
    lab.live_on(42, 7)
    (lab.proc / "99").mkdir()  # a process that may not be looked into
    (lab.proc / "version").write_text("")
    lab.clock.at(3, lab.end)
    guard = lab.guard()
    with guard.held(lab.said.append):
        assert lab.is_locked()
    guard.close()
    assert lab.said == ["waiting for the end of an earlier run, or of its helm: process 42, 7"]
    assert sum(lab.clock.waits) == pytest.approx(3, abs=0.3)


def test_one_that_does_not_end_is_an_error_that_says_how_to_end_it(lab: Lab) -> None:
    lab.live_on(42)
    guard = lab.guard()
    with pytest.raises(ToolError) as caught, guard.held(lab.said.append):
        pytest.fail("held by two")
    guard.close()
    assert caught.value.code == "CTO-1503"
    assert "process 42" in caught.value.message
    assert "`kill 42; kill -CONT 42`" in caught.value.hint
    assert lab.is_locked(), "the earlier run's lock was taken away"


def test_a_holder_that_cannot_be_seen_is_an_error_all_the_same(lab: Lab) -> None:
    lab.live_on()
    guard = lab.guard()
    with pytest.raises(ToolError, match="process unknown") as caught, guard.held(lab.said.append):
        pytest.fail("held by two")
    guard.close()
    assert "kill" not in caught.value.hint


def test_a_child_that_outlives_its_installer_keeps_the_lock(lab: Lab) -> None:
    """Closing must not unlock: the description is the child's as well."""
    guard = lab.guard()
    with guard.held(lab.said.append):
        lab.earlier = os.dup(guard.descriptors[0])  # as a child inherits it
    guard.close()
    assert lab.is_locked()
    lab.end()
    assert not lab.is_locked()


def test_a_file_that_was_taken_away_meanwhile_is_made_anew(lab: Lab) -> None:
    lab.live_on(42)
    lab.clock.at(1, lab.file.unlink)
    lab.clock.at(2, lab.end)
    guard = lab.guard()
    with guard.held(lab.said.append):
        assert lab.is_locked()
    guard.close()


def test_who_only_looks_writes_nothing(lab: Lab) -> None:
    guard = lab.guard()
    assert guard.descriptors == ()
    guard.close()
    assert not lab.file.parent.exists()


def test_where_its_file_cannot_be_made_is_named(lab: Lab) -> None:
    lab.file.parent.parent.touch()
    guard = lab.guard()
    with pytest.raises(PreflightError) as caught, guard.held(lab.said.append):
        pytest.fail("held without a file")
    guard.close()
    assert caught.value.code == "CTO-1485"
    assert caught.value.message == f"{lab.file} cannot be written: Not a directory"
    assert "CTO_STATE_DIR" in caught.value.hint


def test_a_run_that_never_held_it_disturbs_no_other(lab: Lab) -> None:
    looker = lab.guard()
    worker = lab.guard()
    with worker.held(lab.said.append):
        looker.close()
        assert lab.is_locked()
        lab.guard().close()
        assert lab.is_locked()
    worker.close()
