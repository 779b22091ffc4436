"""Folders that cannot be written: each cause has its own fix, and each folder its variable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cto import storage
from cto.errors import PreflightError

CAUSES = {
    errno.EACCES: "See whether user",
    errno.EPERM: "See whether user",
    errno.ENOSPC: "Make room there (df -h",
    errno.EDQUOT: "The quota of user",
    errno.EROFS: "is mounted to be read only: mount a volume at",
    errno.ENOTDIR: "A file is where a folder should be",
}


def refusal(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("env", "cache", "state"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/cto", "/home/me/.local/state/cto"),
        ({}, "/.cache/cto", "/.local/state/cto"),
        ({"HOME": ""}, "/.cache/cto", "/.local/state/cto"),
        ({"HOME": "/"}, "/.cache/cto", "/.local/state/cto"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "XDG_STATE_HOME": "/y"}, "/x/cto", "/y/cto"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "x", "XDG_STATE_HOME": ""}, "/h/.cache/cto", ""),
        ({"HOME": "/h", "CTO_CACHE_DIR": "/c", "CTO_STATE_DIR": "/s"}, "/c", "/s"),
    ],
)
def test_where_the_folders_are(env: dict[str, str], cache: str, state: str) -> None:
    assert storage.CACHE.folder(env) == Path(cache)
    assert storage.STATE.folder(env) == Path(state or "/h/.local/state/cto")


@pytest.mark.parametrize("number", CAUSES)
def test_a_fix_fits_the_cause_and_names_the_variable(number: int) -> None:
    error = storage.unwritable(Path("/c/downloads/x"), refusal(number), {"CTO_CACHE_DIR": "/c"})
    assert (error.code, error.exit_code) == ("CTO-1485", 4)
    assert error.message == f"/c/downloads/x cannot be written: {os.strerror(number)}"
    assert CAUSES[number] in error.hint
    assert error.hint.endswith("; or name another folder: CTO_CACHE_DIR=DIR.")


@pytest.mark.parametrize(
    ("path", "env", "variables"),
    [
        ("/h/.cache/cto/x", {"HOME": "/h"}, "CTO_CACHE_DIR=DIR, or XDG_CACHE_HOME, or HOME."),
        ("/h/.local/state/cto", {"HOME": "/h"}, "CTO_STATE_DIR=DIR, or XDG_STATE_HOME, or HOME."),
        ("/.cache/cto", {}, "CTO_CACHE_DIR=DIR, or XDG_CACHE_HOME, or HOME (HOME is not set)."),
        ("/somewhere", {"HOME": "/h"}, "TMPDIR for temporary files)."),
    ],
)
def test_what_names_another_folder(path: str, env: dict[str, str], variables: str) -> None:
    hint = storage.unwritable(Path(path), refusal(errno.EACCES), env).hint
    assert hint.endswith(variables)


def test_the_trial_of_a_folder_leaves_nothing(tmp_path: Path) -> None:
    assert storage.trial(tmp_path / "not" / "yet") is None
    assert list(tmp_path.iterdir()) == []


def test_the_trial_finds_what_permissions_do_not_tell(tmp_path: Path) -> None:
    """The tests run as root, who may write everywhere, and still cannot below these."""
    (tmp_path / "file").touch()
    for folder, number in ((tmp_path / "file" / "x", errno.ENOTDIR), (Path("/proc/x"), 2)):
        found = storage.trial(folder)
        assert found is not None
        assert found.errno == number


def test_a_full_disk_names_the_file_that_it_refused(tmp_path: Path) -> None:
    """write(2) names none."""
    with pytest.raises(OSError, match="No space") as caught, storage.named(tmp_path):
        raise refusal(errno.ENOSPC)
    assert caught.value.filename == str(tmp_path)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (refusal(errno.EACCES, "/x"), True),
        (refusal(errno.EROFS, "/x"), True),
        (refusal(errno.ENOSPC), True),
        (refusal(errno.EDQUOT), True),
        # A socket's, and a file that we should not have asked for.
        (refusal(errno.EACCES), False),
        (refusal(errno.ENOENT, "/x"), False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), False),
    ],
)
def test_what_a_file_system_refuses_is_told_from_other_errors(
    error: OSError,
    is_one: bool,  # noqa: FBT001 - a case of the table
) -> None:
    assert storage.is_refusal(error) is is_one


def test_other_errors_pass_while_something_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), storage.writing(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(PreflightError, match="Not a directory"), storage.writing(tmp_path):
        raise refusal(errno.ENOTDIR, str(tmp_path))
