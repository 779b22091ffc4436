"""An OCI image layout on disk.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md has the format.

Blobs come first, under a name that they get when they are complete; the index comes last, by a
rename. Whoever is interrupted leaves the bundle that was there before, or none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from cto.errors import IntegrityError, UsageError
from cto.storage import named, replacing
from cto_airgap import contents
from cto_airgap.contents import Contents
from cto_airgap.oci import (
    Descriptor,
    Digest,
    Document,
    algorithm_of,
    digest_of,
    digest_of_file,
    hex_of,
    read_document,
)

_PIECE = 1 << 20

INDEX = "index.json"
MARKER = "oci-layout"
MARKER_BYTES = b'{"imageLayoutVersion":"1.0.0"}'
BLOBS = "blobs"
# Beginnings of blobs. A finished bundle has none.
PARTS = ".parts"
_OURS = frozenset({INDEX, MARKER, BLOBS, PARTS})


class WrongBytesError(Exception):
    """What was written is not what was promised.

    Attributes:
        found: The digest of what was written, or how much there was of it.
    """

    def __init__(self, wanted: Descriptor, found: str) -> None:
        super().__init__(f"expected {wanted.digest} ({wanted.size} bytes)\nfound    {found}")
        self.found = found


class Part:
    """The beginning of a blob. It outlives the process, and the next one goes on from it."""

    def __init__(self, path: Path, target: Path, wanted: Descriptor) -> None:
        self._path = path
        self._target = target
        self._wanted = wanted
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._hash = hashlib.new(algorithm_of(wanted.digest))
        self._size = 0
        self._read_again()
        self.resumed = self._size > 0

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            WrongBytesError: They are more than were promised; the part is empty again.
        """
        if self._size + len(data) > self._wanted.size:
            self.restart()
            raise WrongBytesError(self._wanted, "more bytes than that")
        view = memoryview(data)
        with named(self._path):
            while view:
                view = view[self._file.write(view) :]
        self._hash.update(data)
        self._size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        self._file.truncate(0)
        self._hash = hashlib.new(algorithm_of(self._wanted.digest))
        self._size = 0
        self.resumed = False

    def finish(self) -> None:
        """Give the blob its name.

        Raises:
            WrongBytesError: It is not what was promised; the part is empty again.
        """
        found = self._hash.hexdigest()
        if found != hex_of(self._wanted.digest) or self._size != self._wanted.size:
            size = self._size
            self.restart()
            algorithm = algorithm_of(self._wanted.digest)
            raise WrongBytesError(self._wanted, f"{algorithm}:{found} ({size} bytes)")
        # A name must not outlive its bytes when the power fails.
        os.fsync(self._file.fileno())
        self._target.parent.mkdir(parents=True, exist_ok=True)
        self._path.chmod(0o644)
        self._path.replace(self._target)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read_again(self) -> None:
        self._file.seek(0)
        while data := self._file.read(_PIECE):
            self._hash.update(data)
            self._size += len(data)
        if self._size > self._wanted.size:
            self.restart()


class Layout:
    """A folder that holds a bundle, or will."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = Lock()

    # reading

    def blob(self, digest: Digest) -> Path:
        return self.folder / BLOBS / algorithm_of(digest) / hex_of(digest)

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob of that size is there; its bytes are not looked at."""
        try:
            return self.blob(descriptor.digest).stat().st_size == descriptor.size
        except OSError:
            return False

    def holds(self, descriptor: Descriptor) -> bool:
        """Tell whether a blob is there and right; one that is not right is removed."""
        path = self.blob(descriptor.digest)
        if not path.is_file():
            return False
        if self.has(descriptor):
            found = digest_of_file(path, algorithm_of(descriptor.digest))
            if found == descriptor.digest:
                return True
        path.unlink()
        return False

    def document(self, descriptor: Descriptor) -> Document:
        """Return an index or manifest.

        Raises:
            OSError: It is not there.
            ValueError: Its bytes are not what the descriptor says.
        """
        path = self.blob(descriptor.digest)
        if path.stat().st_size != descriptor.size:
            message = f"it has {path.stat().st_size} bytes, expected {descriptor.size}"
            raise ValueError(message)
        found = read_document(
            path.read_bytes(), descriptor.media_type, algorithm_of(descriptor.digest)
        )
        if found.digest != descriptor.digest:
            message = f"its digest is {found.digest}"
            raise ValueError(message)
        return found

    def contents(self) -> Contents:
        """Return what the bundle holds.

        Raises:
            IntegrityError: CTO-1811, the folder holds no bundle, or the index is damaged.
        """
        try:
            return contents.read_contents((self.folder / INDEX).read_bytes())
        except (OSError, ValueError) as error:
            text = f"{self.folder} holds no bundle"
            details = f"{INDEX}: {getattr(error, 'strerror', None) or error}"
            raise IntegrityError("CTO-1811", text, details=details) from error

    def digest(self) -> Digest:
        """Return the digest of the bundle: that of its index, which names all else."""
        return digest_of_file(self.folder / INDEX)

    # writing

    @contextmanager
    def alone(self, notice: Callable[[str], None]) -> Iterator[None]:
        """Keep others from writing here; waits for one who does, and says so."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # The folder is its own lock: a file in it would be one that no layout has.
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                notice(f"waiting for another build in {self.folder}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def check_is_ours(self) -> None:
        """Make sure that nothing but a bundle is overwritten.

        Raises:
            UsageError: CTO-1200, the folder holds something else.
        """
        names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        foreign = sorted(name for name in names - _OURS if not name.endswith(".tmp"))
        index = self.folder / INDEX
        # A damaged index of ours may be built anew, that of another layout is not ours to replace.
        if not foreign and index.exists() and contents.MARK.encode() not in index.read_bytes():
            foreign = [INDEX]
        if foreign:
            text = f"{self.folder} holds something else than a bundle: {', '.join(foreign[:3])}"
            raise UsageError("CTO-1200", text, hint="Name a folder that is empty, or a bundle.")

    def part(self, wanted: Descriptor) -> Part:
        """Return the beginning of a blob, as far as it was written before."""
        path = self.folder / PARTS / f"{algorithm_of(wanted.digest)}-{hex_of(wanted.digest)}"
        return Part(path, self.blob(wanted.digest), wanted)

    def add(self, data: bytes, media_type: str) -> Descriptor:
        """Write a small blob, unless it is there."""
        found = Descriptor(media_type=media_type, digest=digest_of(data), size=len(data))
        self.put(data, found)
        return found

    def put(self, data: bytes, wanted: Descriptor) -> None:
        """Write bytes that somebody else described.

        Raises:
            WrongBytesError: They are not what was described.
        """
        self._fill(wanted, [data])

    def take(self, path: Path, wanted: Descriptor) -> None:
        """Copy a file that somebody else described.

        Raises:
            WrongBytesError: It is not what was described.
        """
        with path.open("rb") as file:
            self._fill(wanted, iter(lambda: file.read(_PIECE), b""))

    def _fill(self, wanted: Descriptor, pieces: Iterable[bytes]) -> None:
        # Two images may be the same under two names, and come at the same time.
        with self._lock:
            if self.holds(wanted):
                return
            with self.part(wanted) as part:
                part.restart()
                for piece in pieces:
                    part.write(piece)
                part.finish()

    def finish(self, found: Contents, blobs: AbstractSet[Digest]) -> Digest:
        """Write the index, and then remove whatever it does not name."""
        for name, data in ((MARKER, MARKER_BYTES), (INDEX, found.to_bytes())):
            with replacing(self.folder / name) as file:
                file.write(data)
        self._prune(blobs)
        return self.digest()

    def _prune(self, kept: AbstractSet[Digest]) -> None:
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)
        wanted = {self.blob(digest) for digest in kept}
        for path in [*(self.folder / BLOBS).rglob("*")]:
            if path.is_file() and path not in wanted:
                path.unlink()
        for path in (self.folder / BLOBS).iterdir():
            with suppress(OSError):
                path.rmdir()
