"""Temporary folders: for programs that take our place, and for what only we read.

Of the first kind nobody is left to remove it when the program ends, and a killed run leaves one of
the second. They are named by the process, and the next one sweeps away what belongs to processes
that are gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cto import storage
from cto.errors import PreflightError

REGISTRY = "cto-registry-"
RUN = "cto-run-"
# What Go's programs and Python's look at. Not the working folder, Python's last resort: keys may
# be written here. Memory is there in containers whose root file system is read only.
_USUAL = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - folders in it are made as mkdtemp makes them


def folder(
    pid: int,
    lives: Callable[[int], bool],
    base: Path | None = None,
    *,
    prefix: str = REGISTRY,
) -> Path:
    """Make a new folder for a process.

    Args:
        pid: Its number. In a container it may be the same each time.
        lives: Tells whether a process is there.
        base: Where to make it; where temporary files belong, if None.
        prefix: What it is for.

    Raises:
        PreflightError: CTO-1485, it cannot be made.
    """

    def swept(where: Path) -> Path:
        for old in where.glob(f"{prefix}*"):
            owner = old.name.removeprefix(prefix).partition("-")[0]
            if owner.isdecimal() and (int(owner) == pid or not lives(int(owner))):
                # Somebody else's folder stays, as the system says.
                shutil.rmtree(old, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=f"{prefix}{pid}-", dir=where))

    return _first((base,) if base else usual(os.environ), swept)


def spare(pid: int, lives: Callable[[int], bool], *, instead_of: Path, elsewhere: str) -> Path:
    """Make a folder for this run alone, for who finds `instead_of` not writable.

    Args:
        pid: As above.
        lives: As above.
        instead_of: What is named in the error.
        elsewhere: What its owner may do to have it in another place.

    Raises:
        PreflightError: CTO-1485, no temporary file can be made either.
    """
    try:
        return folder(pid, lives, prefix=RUN)
    except PreflightError as error:
        text = f"neither {instead_of} nor a temporary folder can be written"
        hint = f"Have one of them made writable, or {elsewhere}, TMPDIR."
        raise PreflightError(error.code, text, details=error.message, hint=hint) from error


def usual(env: Mapping[str, str]) -> Sequence[Path]:
    """Return where temporary files belong, the first choice first."""
    given = env.get("TMPDIR")
    return [Path(name).absolute() for name in (*((given,) if given else ()), *_USUAL)]


@contextmanager
def secret_file(data: bytes) -> Iterator[Path]:
    """Lend bytes to who reads files only: in memory where the kernel can, so that no disk has them.

    Raises:
        PreflightError: CTO-1485, the kernel cannot, and no file can be written.
    """
    if not hasattr(os, "memfd_create"):  # pragma: no cover - macOS
        with private() as folder:
            (folder / "secret").write_bytes(data)
            yield folder / "secret"
        return
    with os.fdopen(os.memfd_create("cto"), "wb", buffering=0) as file:
        file.write(data)
        yield Path(f"/proc/self/fd/{file.fileno()}")


@contextmanager
def private(bases: Sequence[Path] = ()) -> Iterator[Path]:
    """Make a folder that nobody else may look into, and that is gone afterwards.

    Args:
        bases: Where to make it: the first that takes it; where temporary files belong, if empty.

    Raises:
        PreflightError: CTO-1485, it cannot be made.
    """
    bases = bases or usual(os.environ)
    made = _first(bases, lambda where: Path(tempfile.mkdtemp(prefix="cto-", dir=where)))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _first(bases: Sequence[Path], make: Callable[[Path], Path]) -> Path:
    """Make a folder in the first place that takes one; tell why the first choice did not."""
    refusals: list[tuple[Path, OSError]] = []
    for where in bases:
        try:
            return make(where)
        except OSError as error:
            refusals.append((where, error))
    raise unwritable(*refusals[0])


def unwritable(where: Path, error: OSError) -> PreflightError:
    text = f"{where} cannot be written: {storage.why(error)}"
    hint = "Name a folder with some room for temporary files: TMPDIR=DIR."
    return PreflightError(storage.CODE, text, hint=hint)
