"""Layers of an image: tars whose bytes depend on nothing but what is in them."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cto_airgap.descriptor import Descriptor
from cto_airgap.digest import Digest

TAR = "application/vnd.oci.image.layer.v1.tar"
_PIECE = 1 << 20
_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Entry:
    """A file of this machine, and where it is in the image."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Files that go into an image together, not compressed.

    Attributes:
        time: Of all files, in seconds of the epoch.
    """

    entries: tuple[Entry, ...]
    time: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the tar."""
        for name in _folders(self.entries):
            yield self._head(name, tarfile.DIRTYPE, 0)
        for entry in self.entries:
            size = entry.path.stat().st_size
            yield self._head(entry.name, tarfile.REGTYPE, size)
            yield from _content(entry.path, size)
            yield bytes(-size % _BLOCK)
        yield bytes(2 * _BLOCK)

    def describe(self) -> Descriptor:
        """Return what points to the layer. Reads all of it."""
        digest, size = hashlib.sha256(), 0
        for piece in self.pieces():
            digest.update(piece)
            size += len(piece)
        found = Digest(f"sha256:{digest.hexdigest()}")
        return Descriptor(media_type=TAR, digest=found, size=size)

    def _head(self, name: str, kind: bytes, size: int) -> bytes:
        return head(name, size, self.time, kind=kind)


def head(name: str, size: int, time: int, *, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return what a tar has in front of a file, or for a folder: owned by root, for all to read."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, time
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _folders(entries: Sequence[Entry]) -> list[str]:
    parents = {parent for entry in entries for parent in PurePosixPath(entry.name).parents}
    return sorted(str(parent) for parent in parents if str(parent) != ".")


def _content(path: Path, size: int) -> Iterator[bytes]:
    left = size
    with path.open("rb") as file:
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
    if left:
        text = f"{path} became shorter while it was read"
        raise OSError(text)
