"""The archive: a .tar.gz of text files below one folder. Also read, as somebody else made it."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cto.errors import UsageError
from cto.storage import named, replacing, writing
from cto.support import facts

MOST_BYTES = 20 << 20
"""Of all files together, before they are packed."""
_SUFFIX = ".tar.gz"
_INSTEAD = "name another file: -o FILE"
_MOST_FILES = 10_000


def path_of(context: str, now: datetime, out: Path | None) -> Path:
    """Return where an archive goes.

    Args:
        context: Of the cluster; '' if none is known.
        now: The time, in UTC.
        out: A file or a folder that somebody named.
    """
    plain = "".join(char if char.isalnum() or char in "._-" else "-" for char in context)
    name = f"cto-support-{plain[:80] or 'no-cluster'}-{now:%Y%m%dT%H%M%SZ}{_SUFFIX}"
    if out is None:
        return Path(name).absolute()
    return (out / name if out.is_dir() else out).absolute()


def refuse_unwritable(path: Path) -> None:
    """See that the archive can be written, before anything is gathered.

    Raises:
        PreflightError: CTO-1485.
    """
    attempt = path.with_name(f".{path.name}.{os.getpid()}.try")
    with writing(path, instead=_INSTEAD), named(path):
        try:
            attempt.write_bytes(bytes(4096))
        finally:
            attempt.unlink(missing_ok=True)


def write(path: Path, texts: Mapping[str, str], now: datetime) -> int:
    """Write the archive, for nobody but its owner; return its size in bytes.

    Raises:
        PreflightError: CTO-1485, it cannot be written.
    """
    folder = path.name.removesuffix(_SUFFIX)
    with writing(path, instead=_INSTEAD), replacing(path, str(os.getpid())) as file:
        os.fchmod(file.fileno(), 0o600)
        with tarfile.open(fileobj=file, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
            for name, text in texts.items():
                data = text.encode(errors="replace")
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now.timestamp())
                archive.addfile(entry, io.BytesIO(data))
        return file.tell()


def read(path: Path, *, most_bytes: int = 4 * MOST_BYTES) -> dict[str, str]:
    """Return the files of an archive, by their names below its folder.

    Args:
        path: The archive: who made it, and with how much in it, is not known.
        most_bytes: Of all files together.

    Raises:
        UsageError: CTO-1290, it is none.
    """
    found: dict[str, str] = {}
    left = most_bytes
    try:
        with tarfile.open(path, "r:gz") as archive:
            for entry in archive:
                file = archive.extractfile(entry) if entry.isfile() else None
                if file is None:
                    continue
                if entry.size > left or len(found) >= _MOST_FILES:
                    raise _none(path, "it holds more than any that cto writes")
                left -= entry.size
                name = entry.name.partition("/")[2]
                found[name] = file.read().decode(errors="replace")
    except OSError as error:
        raise _none(path, error.strerror or str(error)) from error
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise _none(path, f"it is damaged, or no .tar.gz: {error}") from error
    if facts.ABOUT not in found:
        raise _none(path, f"it has no {facts.ABOUT}")
    return found


def _none(path: Path, reason: str) -> UsageError:
    return UsageError("CTO-1290", f"{path} is not a support bundle: {reason}")
