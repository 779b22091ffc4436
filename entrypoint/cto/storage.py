"""Folders of this machine that the installer writes to, and what helps where it cannot.

Nobody's home may be writable: a container's root file system that is read only, a user without a
home, a disk or a quota that is used up. None of that is a bug of ours.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cto.errors import PreflightError
from cto.result import Check, Topic

CODE = "CTO-1485"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# What a file system answers; an error of ours has other numbers, as a file that is not there.
_REFUSALS = _FULL | {
    errno.EACCES,
    errno.EIO,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,  # a home on NFS
}


@dataclass(frozen=True)
class Place:
    """Where files of one kind belong.

    https://specifications.freedesktop.org/basedir-spec/latest/ has the folders.

    Attributes:
        title: What is there.
        own: The variable that names the folder itself.
        base: The variable that names the folder above it.
        usual: The folder above it, below HOME.
    """

    title: str
    own: str
    base: str
    usual: str

    def folder(self, env: Mapping[str, str]) -> Path:
        """Return the folder."""
        if env.get(self.own):
            return Path(env[self.own]).absolute()
        base = Path(env.get(self.base) or "")
        # The specification: what is relative is to be ignored.
        return (base if base.is_absolute() else home(env) / self.usual) / "cto"

    def elsewhere(self, env: Mapping[str, str]) -> str:
        """Say how to have it somewhere else."""
        if env.get(self.own):
            return f"name another folder: {self.own}=DIR"
        unset = " (HOME is not set)" if not env.get("HOME") and not env.get(self.base) else ""
        return f"name another folder: {self.own}=DIR, or {self.base}, or HOME{unset}"


CACHE = Place("cache", "CTO_CACHE_DIR", "XDG_CACHE_HOME", ".cache")
STATE = Place("state", "CTO_STATE_DIR", "XDG_STATE_HOME", ".local/state")


def home(env: Mapping[str, str]) -> Path:
    """Return the user's home; the root folder if nobody said, as Docker has it."""
    return Path(env.get("HOME") or "/").absolute()


def is_there(path: Path) -> bool:
    """Tell whether we can see a file or folder."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises where nobody may look


def nearest(path: Path) -> Path:
    """Return the path itself, or the first above it that is there."""
    return next((p for p in (path, *path.parents) if is_there(p)), Path("/"))


def trial(folder: Path) -> OSError | None:
    """Write a little file into a folder; return what refused that. Nothing stays.

    Asking for permissions is not enough: root has them all, on what is read only as well.
    """
    new = [p for p in (folder, *folder.parents) if not os.path.lexists(p)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f".cto-{os.getpid()}"
        try:
            with named(folder):
                file.write_bytes(bytes(4096))
        finally:
            file.unlink(missing_ok=True)
    except OSError as error:
        return error
    finally:
        for made in new:
            with suppress(OSError):
                made.rmdir()
    return None


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Name the file in errors that come without one, as those of write(2) do."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno not in _REFUSALS:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def replacing(path: Path, suffix: str = "tmp") -> Iterator[BinaryIO]:
    """Write a file beside another one; it takes its place as soon as it is whole.

    Args:
        path: The file to replace.
        suffix: Of the new one's name until then, `.NAME.SUFFIX`; a killed run leaves it.
    """
    temporary = path.with_name(f".{path.name}.{suffix}")
    try:
        with named(temporary), temporary.open("wb") as file:
            yield file
            file.flush()
            # A name must not outlive its bytes when the power fails.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_refusal(error: OSError) -> bool:
    """Tell whether a file system refused something, by a file's name or because it is full."""
    return error.errno in _REFUSALS and (error.filename is not None or error.errno in _FULL)


@contextmanager
def writing(path: Path, *, instead: str = "") -> Iterator[None]:
    """Tell of what keeps a file or folder from being written.

    Raises:
        PreflightError: CTO-1485.
    """
    try:
        yield
    except OSError as error:
        if not (is_refusal(error) or isinstance(error, FileNotFoundError | FileExistsError)):
            raise
        raise unwritable(path, error, instead=instead) from error


def unwritable(
    path: Path, error: OSError, env: Mapping[str, str] | None = None, *, instead: str = ""
) -> PreflightError:
    """Return what to tell of a file or folder that cannot be written.

    Args:
        path: The file or folder.
        error: The system's answer.
        env: The environment, which says where the installer's folders are; ours, if None.
        instead: How to name another one; found out for the installer's own folders.
    """
    text = f"{path} cannot be written: {why(error)}"
    return PreflightError(CODE, text, hint=_advice(path, error, env, instead))


def refused(error: OSError) -> PreflightError:
    """Return what to tell of a refusal that nobody expected, of reading perhaps."""
    if error.filename is None:
        return PreflightError(CODE, f"a file cannot be written: {why(error)}")
    path = Path(os.fsdecode(error.filename))
    return PreflightError(CODE, f"{path}: {why(error)}", hint=_advice(path, error, None, ""))


def why(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _advice(path: Path, error: OSError, env: Mapping[str, str] | None, instead: str) -> str:
    """Return what helps: against the cause, or by another folder."""
    instead = instead or _elsewhere(path, os.environ if env is None else env)
    return f"{_against(path, error)}; or {instead}."


def _against(path: Path, error: OSError) -> str:
    there = shlex.quote(str(nearest(path)))
    match error.errno:
        case errno.ENOSPC:
            return f"Make room there (df -h {there}; df -i {there})"
        case errno.EDQUOT:
            user = os.geteuid()
            return f"The quota of user {user} is used up: delete something, or have it raised"
        case errno.EROFS:
            return f"{there} is mounted to be read only: mount a volume at {path}"
        case errno.ENOTDIR | errno.EEXIST:
            return f"A file is where a folder should be: ls -ld {there}"
        case _:
            return f"See whether user {os.geteuid()} may write there: ls -ld {there}"


def _elsewhere(path: Path, env: Mapping[str, str]) -> str:
    for place in (CACHE, STATE):
        if path.is_relative_to(place.folder(env)):
            return place.elsewhere(env)
    return (
        "name another folder (CTO_CACHE_DIR for the cache, CTO_STATE_DIR for the state, TMPDIR "
        "for temporary files)"
    )


_GIB = 1 << 30


def folder_checks(
    needed: Mapping[Path, int],
    *,
    env: Mapping[str, str] | None = None,
    free: Callable[[Path], int] | None = None,
) -> Sequence[Check]:
    """Return a check per folder: it can be written to, and has that many bytes left.

    Args:
        needed: Folder, which need not exist, -> bytes that will be written there.
        env: Says which variables name the folders.
        free: Returns the free bytes of a folder's file system.
    """
    return tuple(_check(folder, need, env, free or _free) for folder, need in needed.items())


def _check(
    folder: Path, needed: int, env: Mapping[str, str] | None, free: Callable[[Path], int]
) -> Check:
    topic = Topic(f"folder-{folder.name}", f"Folder {folder}")
    refusal = trial(folder)
    if refusal:
        return topic.raised(unwritable(folder, refusal, env))
    there = nearest(folder)
    left = free(there)
    message = f"{left / _GIB:.1f} GiB are free, and {needed / _GIB:.1f} GiB are needed"
    if left < needed:
        lack = f"Free {(needed - left) / _GIB:.1f} GiB on the file system of {there}."
        return topic.failed(message, fix=lack)
    return topic.passed(message)


def _free(folder: Path) -> int:
    return shutil.disk_usage(folder).free
