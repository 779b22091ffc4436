"""A blob on its way to the disk: hashed while it is written, and named only when it is right."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from cto.storage import named
from cto_airgap.descriptor import Descriptor
from cto_airgap.digest import algorithm_of, hex_of

_PIECE = 1 << 20


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
