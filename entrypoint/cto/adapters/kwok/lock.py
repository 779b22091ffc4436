"""A lock on a folder, which ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cto.errors import LockedError
from cto.storage import writing

# A process, a host (64 bytes at most) and a time.
_LONGEST = 200


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder`/lock; the folder is made if need be. Children do not inherit the lock.

    Raises:
        LockedError: CTO-2000, naming the process that holds it, its host, and since when.
        PreflightError: CTO-1485, the folder cannot be written.
    """
    file = folder / "lock"
    while True:
        descriptor = _opened(file)
        try:
            _lock(descriptor, folder)
            if not _still_there(descriptor, file):
                continue
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _holder().encode(), 0)
            yield
            return
        finally:
            os.close(descriptor)


def _opened(file: Path) -> int:
    with writing(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # Its holder may have it since this very moment, and not have written yet.
        text = os.pread(descriptor, _LONGEST, 0).decode() or "unknown host time"
        pid, host, since = text.split()
        raise LockedError(
            "CTO-2000",
            f"Process {pid} on {host} makes or removes the cluster in {folder}, since {since}",
            hint=f"Wait for it. It is alive as long as this prints a line: ps -o args= -p {pid}",
        ) from None


def _holder() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"{os.getpid()} {socket.gethostname()} {since}"


def _still_there(descriptor: int, file: Path) -> bool:
    """Whether the locked file is still the one of that name: its last holder may remove it."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
