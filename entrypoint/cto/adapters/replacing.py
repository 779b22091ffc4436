"""Private files that are replaced: whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from io import FileIO
from pathlib import Path

from cto.storage import is_there, named

# With these a new file beside the old one, or the rename, is what cannot be done. Everything else,
# as a full disk, would fail in place too, and there it would cost what is in the file.
_NOT_REPLACEABLE = frozenset(
    {
        errno.EACCES,  # a folder, or an owner, of somebody else
        errno.EPERM,
        errno.EROFS,  # only the file itself is mounted to be written
        errno.EBUSY,  # the file is a mount of its own, as `docker run -v FILE:FILE` makes it
        errno.EXDEV,
        errno.EISDIR,  # the temporary name is taken
        errno.EINVAL,  # its owner has no number in this user namespace
        errno.ENOTSUP,  # a file system without owners or modes
        errno.ENOSYS,
    }
)


def replace_file(file: Path, text: str, *, owner: tuple[int, int] | None = None) -> None:
    """Write a private file: whole or not at all, its owner and mode kept, links followed.

    A new one belongs to `owner`, else to whom its folder belongs: root in a container writes into
    somebody's home.

    What cannot be renamed over is written in place, after its room was made sure of.

    Raises:
        OSError: It cannot be written, and is as it was.
    """
    target = Path(os.path.realpath(file))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    data = text.encode()
    try:
        with named(target):
            _write_beside(temporary, target, data, owner)
            temporary.replace(target)
    except OSError as error:
        if error.errno not in _NOT_REPLACEABLE or not is_there(target):
            raise
        with named(target):
            _write_in_place(target, data)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(file: Path) -> None:
    """Remove what killed runs left beside a file: new versions of it, with the keys in them.

    Only under the file's lock, where nobody else can be writing one.
    """
    target = Path(os.path.realpath(file))
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9]+\.tmp")
    with suppress(OSError):
        for path in [path for path in target.parent.iterdir() if name.fullmatch(path.name)]:
            with suppress(OSError):
                path.unlink()


def _write_beside(
    temporary: Path, target: Path, data: bytes, owner: tuple[int, int] | None
) -> None:
    descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if not target.exists():
            _give(descriptor, owner or _owner_of(target.parent))
        else:
            status = target.stat()
            os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, status.st_mode & 0o7777)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _owner_of(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_uid, status.st_gid


def _give(descriptor: int, owner: tuple[int, int]) -> None:
    # Only root may give files away, and on some mounted file systems not even root.
    if os.geteuid() == 0:
        with suppress(OSError):
            os.fchown(descriptor, *owner)


def _write_in_place(target: Path, data: bytes) -> None:
    with target.open("r+b", buffering=0) as file:
        before = file.read()
        try:
            # Blank lines first, and after what is shorter: a disk without the room says so while
            # nothing is lost yet, and a kill before or after the write itself leaves a whole file.
            _write(file, b"\n" * (len(data) - len(before)), len(before))
            _write(file, data.ljust(len(before), b"\n"), 0)
            file.truncate(len(data))
            os.fsync(file.fileno())
        except BaseException:
            # File systems that copy on write may lack the room even for what is there.
            with suppress(OSError):
                _write(file, before, 0)
            with suppress(OSError):
                file.truncate(len(before))
            raise


def _write(file: FileIO, data: bytes, offset: int) -> None:
    """Write all of it, down to the disk: some file systems tell only then that they are full."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file.fileno(), rest, offset)
        rest, offset = rest[written:], offset + written
    os.fsync(file.fileno())
