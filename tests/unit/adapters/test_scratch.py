"""Folders of processes that are gone do not pile up."""

from __future__ import annotations

from pathlib import Path

import pytest

from cto.adapters import scratch
from cto.errors import PreflightError


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_each_process_has_its_own(tmp_path: Path) -> None:
    made = scratch.folder(7, lambda _: True, tmp_path)
    assert made.is_dir()
    assert made.name.startswith("cto-registry-7-")
    assert made.stat().st_mode & 0o077 == 0


def test_those_of_the_dead_are_swept_and_those_of_others_are_not(tmp_path: Path) -> None:
    for name in ("cto-registry-8-dead", "cto-registry-9-alive", "cto-registry-x-y", "cto-else"):
        (tmp_path / name / "storage").mkdir(parents=True)
    made = scratch.folder(7, lambda pid: pid == 9, tmp_path)
    kept = {"cto-registry-9-alive", "cto-registry-x-y", "cto-else"}
    assert names(tmp_path) == {made.name, *kept}


def test_the_same_number_again_is_a_process_that_was_restarted(tmp_path: Path) -> None:
    """In a container it is always 1."""
    before = scratch.folder(1, lambda _: True, tmp_path)
    assert names(tmp_path) == {before.name}
    after = scratch.folder(1, lambda _: True, tmp_path)
    assert names(tmp_path) == {after.name}


def test_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(PreflightError) as caught:
        scratch.folder(7, lambda _: True, tmp_path / "missing")
    assert caught.value.code == "CTO-1485"
    assert str(tmp_path / "missing") in caught.value.message
    assert "TMPDIR" in caught.value.hint


def test_a_private_folder_is_made_where_one_can_be_and_goes(tmp_path: Path) -> None:
    """Memory is the last place: a container's root file system may be read only."""
    (tmp_path / "file").touch()
    (tmp_path / "memory").mkdir()
    with scratch.private((tmp_path / "file", tmp_path / "missing", tmp_path / "memory")) as made:
        assert made.parent == tmp_path / "memory"
        assert made.stat().st_mode & 0o077 == 0
        (made / "key").write_text("k")
    assert names(tmp_path / "memory") == set()


def test_where_no_private_folder_can_be_made_the_first_choice_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(PreflightError) as caught,
        scratch.private([tmp_path / "file", tmp_path / "x"]),
    ):
        pytest.fail("made")
    assert caught.value.message == f"{tmp_path / 'file'} cannot be written: Not a directory"


def test_temporary_files_belong_where_tmpdir_says_and_never_into_the_working_folder() -> None:
    usual = [Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")]
    assert scratch.usual({}) == usual
    assert scratch.usual({"TMPDIR": ""}) == usual
    assert scratch.usual({"TMPDIR": "/x"}) == [Path("/x"), *usual]
