"""Packs a chart's folder into an archive: the same bytes from the same files, on every machine."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

# The largest block that deflate can hold without compressing it.
_BLOCK = 65_535


def pack(folder: Path, name: str, cache: Path) -> tuple[Path, str]:
    """Return the archive of a chart and its sha256.

    Files whose names start with a dot are left out. Where the archive cannot be kept, the folder
    itself takes its place: Helm reads both, and who only wants a plan needs nothing to write to.
    """
    data = _stored_gzip(_tar(folder, name))
    digest = hashlib.sha256(data).hexdigest()
    target = cache / f"{name}-{digest}.tgz"
    try:
        _keep(data, target)
    except OSError:
        return folder, digest
    return target, digest


def _keep(data: bytes, target: Path) -> None:
    if target.is_file() and target.stat().st_size == len(data):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _tar(folder: Path, name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in sorted(_files(folder)):
            content = file.read_bytes()
            entry = tarfile.TarInfo(f"{name}/{file.relative_to(folder).as_posix()}")
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _files(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and not hidden:
            yield file


def _stored_gzip(data: bytes) -> bytes:
    """Return a gzip file of uncompressed blocks.

    What a compressor writes depends on the version of zlib, and with it the chart's digest would;
    Helm reads nothing but gzip.
    """
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    blocks = [data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK)]
    last = len(blocks) - 1
    body = b"".join(
        struct.pack("<BHH", index == last, len(block), len(block) ^ 0xFFFF) + block
        for index, block in enumerate(blocks)
    )
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)
