"""Where images come from: a registry, or files that were built here.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md has the format of such a
file: an OCI layout in a tar, as `docker buildx build --output type=oci` writes it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cto import goyaml
from cto.errors import IntegrityError, ToolError
from cto_airgap.layout import INDEX, Part, WrongBytesError
from cto_airgap.oci import (
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Document,
    ImagePlatform,
    algorithm_of,
    hex_of,
    read_document,
)
from cto_airgap.reference import Reference

_PIECE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ResolvedImage:
    """What a registry says about a reference.

    Attributes:
        digest: Of the index, or of the manifest where there is no index.
        size: Bytes to download for all platforms together.
        platforms: Sorted.
    """

    digest: Digest
    size: int
    platforms: tuple[ImagePlatform, ...]


def resolve(registry: ImageSource, reference: Reference) -> ResolvedImage:
    """Return what is behind a reference.

    Raises:
        ToolError: CTO-1510 to 1514, the registry does not say.
        IntegrityError: CTO-1800, it sends other bytes than those of a digest.
    """
    root = registry.manifest(reference)
    manifests = [*_manifests(registry, reference, root)]
    parts = {root.digest: len(root.data)}
    for _, found in manifests:
        parts[found.digest] = len(found.data)
        parts |= {blob.digest: blob.size for blob in found.blobs}
    platforms = tuple(sorted({platform for platform, _ in manifests}))
    return ResolvedImage(digest=root.digest, size=sum(parts.values()), platforms=platforms)


def platform_of(registry: ImageSource, reference: Reference, manifest: Document) -> ImagePlatform:
    """Return the platform of an image that has no index: its configuration says so.

    Raises:
        ToolError: CTO-1510 to 1514, the registry does not say.
    """
    config = _config_of(reference, manifest)
    try:
        body = goyaml.load_json(registry.config(reference, config))
        parts = (body["os"], body["architecture"], body.get("variant") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        text = f"{reference} is not an image: its configuration names no platform"
        raise ToolError("CTO-1514", text) from None
    return ImagePlatform(*(str(part) for part in parts)).plain


def _config_of(reference: Reference, manifest: Document) -> Descriptor:
    if not manifest.blobs:
        text = f"{reference} is not an image: it has no configuration"
        raise ToolError("CTO-1514", text)
    return manifest.blobs[0]


def _manifests(
    registry: ImageSource, reference: Reference, root: Document
) -> Iterator[tuple[ImagePlatform, Document]]:
    if not root.is_index:
        yield platform_of(registry, reference, root), root
    for child in root.children:
        if child.platform and child.platform.is_real:
            yield child.platform.plain, registry.manifest(reference.at(child.digest))


class ImageSource(Protocol):
    """Where images come from: `cto_airgap.registry.RegistryClient`, or what stands before one."""

    def manifest(self, reference: Reference) -> Document: ...

    def config(self, reference: Reference, wanted: Descriptor) -> bytes: ...

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None: ...


class ImageArchive:
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
        return file_pieces(self._path, member.offset_data, member.size)

    def _manifest(self) -> Document:
        entries = goyaml.load_json(b"".join(self._pieces(INDEX)))["manifests"]
        if len(entries) != 1 or entries[0]["mediaType"] != OCI_MANIFEST:
            text = "it is not one image for one platform"
            raise ValueError(text)
        wanted = Descriptor.from_json(entries[0])
        data = b"".join(self.pieces(wanted))
        found = read_document(data, wanted.media_type, algorithm_of(wanted.digest))
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

    def __init__(self, images: ImageSource, archives: Mapping[str, ImageArchive]) -> None:
        self._images = images
        self._archives = archives

    def manifest(self, reference: Reference) -> Document:
        """Return the manifest behind a reference; see `RegistryClient.manifest`."""
        if archive := self._archives.get(reference.name):
            return archive.manifest
        return self._images.manifest(reference)

    def config(self, reference: Reference, wanted: Descriptor) -> bytes:
        """Return an image's configuration; see `RegistryClient.config`."""
        if archive := self._archives.get(reference.name):
            return b"".join(archive.pieces(wanted))
        return self._images.config(reference, wanted)

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None:
        """Complete a blob; see `RegistryClient.fetch`.

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


def file_pieces(path: Path, start: int, size: int) -> Iterator[bytes]:
    """Yield a part of a file; it is never in memory as a whole.

    Raises:
        OSError: The file is shorter than that.
    """
    left = size
    with path.open("rb") as file:
        file.seek(start)
        while left and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
    if left:
        text = f"{path} became shorter while it was read"
        raise OSError(text)
