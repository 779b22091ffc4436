"""An image in a file: an OCI layout in a tar, as `docker buildx build --output type=oci` writes it.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md has the format.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from cto import goyaml
from cto.errors import IntegrityError
from cto_airgap import document
from cto_airgap.descriptor import OCI_MANIFEST, Descriptor
from cto_airgap.digest import Digest, algorithm_of, hex_of
from cto_airgap.document import Document
from cto_airgap.layout import INDEX
from cto_airgap.part import Part, WrongBytesError
from cto_airgap.reference import Reference

_PIECE = 1 << 20


class ImageSource(Protocol):
    """Where images come from: `cto_airgap.registry.Registry`, or what stands before one."""

    def manifest(self, reference: Reference) -> Document: ...

    def config(self, reference: Reference, wanted: Descriptor) -> bytes: ...

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None: ...


class Archive:
    """One image for one platform. May be read by several threads.

    Raises:
        IntegrityError: CTO-1811, the file holds no such image, or not all of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with tarfile.open(path) as file:
                self._members = {one.name: one for one in file if one.isfile()}
            self.manifest = self._manifest()
            self.config: Mapping[str, Any] = self._config()
            for blob in self.manifest.blobs:
                self._check(blob)
        except (OSError, tarfile.TarError, LookupError, ValueError, TypeError) as error:
            text = f"{path} holds no image as an OCI layout"
            raise IntegrityError("CTO-1811", text, details=str(error)) from error

    def pieces(self, blob: Descriptor) -> Iterator[bytes]:
        """Yield the bytes of a blob, as they are in the file."""
        return self._pieces(blob_path(blob.digest))

    def _pieces(self, name: str) -> Iterator[bytes]:
        member = self._members[name]
        left = member.size
        with self._path.open("rb") as file:
            file.seek(member.offset_data)
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                yield piece

    def _manifest(self) -> Document:
        entries = goyaml.load_json(b"".join(self._pieces(INDEX)))["manifests"]
        if len(entries) != 1 or entries[0]["mediaType"] != OCI_MANIFEST:
            text = "it is not one image for one platform"
            raise ValueError(text)
        wanted = Descriptor.from_json(entries[0])
        data = b"".join(self.pieces(wanted))
        found = document.read(data, wanted.media_type, algorithm_of(wanted.digest))
        if found.digest != wanted.digest or not found.blobs:
            text = f"{INDEX} names {wanted.digest}, the manifest there is {found.digest}"
            raise ValueError(text)
        return found

    def _config(self) -> dict[str, Any]:
        found: dict[str, Any] = goyaml.load_json(b"".join(self.pieces(self.manifest.blobs[0])))
        return found

    def _check(self, blob: Descriptor) -> None:
        if self._members[blob_path(blob.digest)].size != blob.size:
            text = f"{blob.digest} is cut off"
            raise ValueError(text)


class WithArchives:
    """Gives some images out of files, and all others from a registry.

    Args:
        images: Where the others come from.
        archives: By the name of the image, without tag and digest.
    """

    def __init__(self, images: ImageSource, archives: Mapping[str, Archive]) -> None:
        self._images = images
        self._archives = archives

    def manifest(self, reference: Reference) -> Document:
        """Return the manifest behind a reference; see `Registry.manifest`."""
        if archive := self._archives.get(reference.name):
            return archive.manifest
        return self._images.manifest(reference)

    def config(self, reference: Reference, wanted: Descriptor) -> bytes:
        """Return an image's configuration; see `Registry.config`."""
        if archive := self._archives.get(reference.name):
            return b"".join(archive.pieces(wanted))
        return self._images.config(reference, wanted)

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None:
        """Complete a blob; see `Registry.fetch`.

        Raises:
            IntegrityError: CTO-1800, the file has other bytes than its manifest says.
        """
        archive = self._archives.get(reference.name)
        if archive is None:
            self._images.fetch(reference, wanted, part)
            return
        part.restart()
        try:
            for piece in archive.pieces(wanted):
                part.write(piece)
            part.finish()
        except WrongBytesError as error:
            text = f"the file of {reference.name} is damaged"
            raise IntegrityError("CTO-1800", text, details=str(error)) from None


def blob_path(digest: Digest) -> str:
    """Return where a layout has a blob."""
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"
