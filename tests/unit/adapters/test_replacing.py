"""Files that are replaced: what is in them is never lost."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from cto.adapters.replacing import replace_file, sweep
from fakes.disk import no_room_after

OLD = "old\n" * 500


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "config"
    made.write_text(OLD)
    made.chmod(0o640)
    return made


@pytest.fixture
def alone(file: Path) -> Path:
    """The file, where none can be made beside it: here the temporary name is taken."""
    (file.parent / f".config.{os.getpid()}.tmp").mkdir()
    return file


class TestBeside:
    def test_the_new_file_has_the_mode_of_the_old_one(self, file: Path) -> None:
        inode = file.stat().st_ino
        replace_file(file, "new")
        assert file.read_text() == "new"
        assert file.stat().st_ino != inode
        assert stat.S_IMODE(file.stat().st_mode) == 0o640

    def test_a_full_disk_is_an_error_and_costs_nothing(self, file: Path) -> None:
        with no_room_after(len(OLD) + 10), pytest.raises(OSError, match="too large"):
            replace_file(file, "new\n" * 1000)
        assert file.read_text() == OLD
        assert list(file.parent.iterdir()) == [file]

    def test_a_new_file_that_does_not_fit_is_not_left_half_written(self, tmp_path: Path) -> None:
        with no_room_after(10), pytest.raises(OSError, match="too large"):
            replace_file(tmp_path / "config", OLD)
        assert list(tmp_path.iterdir()) == []


class TestInPlace:
    @pytest.mark.parametrize("text", ["new", "new\n" * 1000, ""], ids=["less", "more", "nothing"])
    def test_the_file_stays_the_same_one(self, alone: Path, text: str) -> None:
        inode = alone.stat().st_ino
        replace_file(alone, text)
        assert alone.read_text() == text
        assert alone.stat().st_ino == inode

    @pytest.mark.parametrize("room", [0, 10], ids=["none", "some"])
    def test_a_disk_without_the_room_is_an_error_and_costs_nothing(
        self, alone: Path, room: int
    ) -> None:
        with no_room_after(len(OLD) + room), pytest.raises(OSError, match="too large"):
            replace_file(alone, "new\n" * 1000)
        assert alone.read_text() == OLD

    def test_what_was_there_comes_back_if_not_even_that_can_be_overwritten(
        self, alone: Path
    ) -> None:
        """As where file systems copy on write: here behind the first hundred bytes."""
        with no_room_after(100), pytest.raises(OSError, match="too large"):
            replace_file(alone, OLD.replace("old", "new"))
        assert alone.read_text() == OLD


class TestSweeping:
    def test_only_what_killed_runs_left_of_this_file_goes(self, file: Path) -> None:
        for name in (".config.1.tmp", ".config.4711.tmp"):
            (file.parent / name).touch()
        others = {"config", "config.1.tmp", ".config.x.tmp", ".config.1.tmp.old", ".other.1.tmp"}
        for name in others:
            (file.parent / name).touch()
        sweep(file)
        assert {path.name for path in file.parent.iterdir()} == others

    def test_it_is_looked_for_where_a_link_leads(self, file: Path, tmp_path: Path) -> None:
        link = tmp_path / "elsewhere" / "link"
        link.parent.mkdir()
        link.symlink_to(file)
        left = file.parent / ".config.1.tmp"
        left.touch()
        sweep(link)
        assert not left.exists()

    def test_what_cannot_go_stays(self, alone: Path) -> None:
        left = alone.parent / ".config.1.tmp"
        left.touch()
        sweep(alone)
        sweep(alone.parent / "nowhere" / "config")
        assert not left.exists()
        assert (alone.parent / f".config.{os.getpid()}.tmp").is_dir()
