"""Commands where no folder of the installer's own can be written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cto.cli.failure import failure_of
from fakes.desk import Desk

IN_THE_WAY = "A file is where a folder should be: ls -ld DESK/wall"


@pytest.fixture
def walled(desk: Desk) -> Desk:
    """Put cache and state below a file: there not even root can write."""
    wall = desk.folder / "wall"
    wall.touch()
    desk.env |= {"CTO_CACHE_DIR": str(wall / "cache"), "CTO_STATE_DIR": str(wall / "state")}
    return desk


def test_a_plan_needs_none(walled: Desk) -> None:
    result = walled.cto("plan", "install")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "+ Install Web 1.0.0 (not installed)" in result.stdout
    assert "Apply the CRDs of Web" in result.stdout


def test_a_plan_is_the_same_with_and_without(desk: Desk, walled: Desk) -> None:
    without = walled.cto("plan", "install").stdout
    desk.env = {}
    assert desk.cto("plan", "install").stdout == without


def test_a_status_needs_none(walled: Desk) -> None:
    env, walled.env = walled.env, {}
    assert walled.cto("install", "--non-interactive").exit_code == 0
    walled.env = env
    assert walled.cto("status").exit_code == 0
    assert walled.cto("plan", "uninstall").exit_code == 0


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_what_changes_something_names_folders_and_variables(walled: Desk, command: str) -> None:
    error = walled.document(command, "--yes", code=4)["error"]
    assert error["code"] == "CTO-1485"
    assert error["details"].splitlines() == [
        "Folder DESK/wall/cache: DESK/wall/cache cannot be written: Not a directory",
        f"  fix: {IN_THE_WAY}; or name another folder: CTO_CACHE_DIR=DIR.",
        "Folder DESK/wall/state: DESK/wall/state cannot be written: Not a directory",
        f"  fix: {IN_THE_WAY}; or name another folder: CTO_STATE_DIR=DIR.",
    ]
    assert walled.releases.calls == []


def test_the_state_alone_is_enough_to_refuse(walled: Desk) -> None:
    walled.env.pop("CTO_CACHE_DIR")
    error = walled.document("install", "--yes", code=4)["error"]
    assert "CTO_STATE_DIR" in error["details"]
    assert "CTO_CACHE_DIR" not in error["details"]


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/x/y"),
        OSError(errno.EROFS, "Read-only file system", "/x/y"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded", "/x/y"),
    ],
)
def test_no_refusal_of_a_file_system_is_called_a_bug(error: OSError) -> None:
    told = failure_of(error)
    assert (told.code, told.exit_code) == ("CTO-1485", 4)
    assert str(error.strerror) in told.message
    assert "CTO_CACHE_DIR" in told.fix


def test_a_refusal_names_its_file() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", os.fsencode("/x/y"))
    assert failure_of(error).message == "/x/y: Permission denied"
    assert Path("/x/y").name in failure_of(error).message
