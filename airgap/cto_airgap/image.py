"""Puts a bundle into an image, as layers of its own, and writes both as one file.

The file is an OCI layout in a tar, as `docker load` takes it; Docker before 25 reads manifest.json.
Blobs of a bundle are compressed already: their layers are not, so that nothing is packed twice.
Big ones are layers by themselves: the next image has most of them, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from cto.storage import replacing
from cto_airgap.layout import INDEX, MARKER, MARKER_BYTES, Layout
from cto_airgap.oci import OCI_INDEX, OCI_MANIFEST, Descriptor, Digest, digest_of, to_bytes
from cto_airgap.reference import normalise
from cto_airgap.sources import ImageArchive, blob_path, file_pieces

TAR = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = tarfile.BLOCKSIZE

FOLDER = "opt/cto/bundle"
LABEL = "cto.dev/bundle"
VARIABLE = "CTO_BUNDLE"
NAME_VARIABLE = "CTO_IMAGE_NAME"
_OWN_LAYER = 32 << 20
# overlay2 takes 128 layers, and the program has some.
_MOST = 64


@dataclass(frozen=True)
class TarEntry:
    """A file of this machine, and where it is in the image."""

    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class TarLayer:
    """Files that go into an image together, not compressed.

    Attributes:
        time: Of all files, in seconds of the epoch.
    """

    entries: tuple[TarEntry, ...]
    time: int

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes of the tar."""
        for name in _folders(self.entries):
            yield self._head(name, tarfile.DIRTYPE, 0)
        for entry in self.entries:
            size = entry.path.stat().st_size
            yield self._head(entry.name, tarfile.REGTYPE, size)
            yield from file_pieces(entry.path, 0, size)
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
        return tar_head(name, size, self.time, kind=kind)


def tar_head(name: str, size: int, time: int, *, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return what a tar has in front of a file, or for a folder: owned by root, for all to read."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, time
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    return info.tobuf(tarfile.GNU_FORMAT)


def _folders(entries: Sequence[TarEntry]) -> list[str]:
    parents = {parent for entry in entries for parent in PurePosixPath(entry.name).parents}
    return sorted(str(parent) for parent in parents if str(parent) != ".")


@dataclass(frozen=True, kw_only=True)
class Imaged:
    """An image that was written.

    Attributes:
        digest: Of its manifest.
        bundle: Digest of the bundle in it.
        layers: How many of its layers are the bundle's.
        size: Bytes of the file.
    """

    digest: Digest
    bundle: Digest
    layers: int
    size: int


def write_image(program: Path, bundle: Path, out: Path, name: str) -> Imaged:
    """Write an image with a bundle in it.

    Args:
        program: An image, as an OCI layout in a tar: `docker buildx build --output type=oci`.
        bundle: The bundle.
        out: The file to write; it gets its name when it is complete.
        name: What the image is called after `docker load`.

    Raises:
        IntegrityError: CTO-1811, one of them is not what it has to be.
        OSError: The file cannot be written.
    """
    layout = Layout(bundle)
    layout.contents()
    found = ImageArchive(program)
    time = _time(found)
    layers = [*_layers(layout, time)]
    described = [layer.describe() for layer in layers]
    config = to_bytes(_config(found, layout.digest(), described, name))
    manifest = to_bytes(_manifest(found, config, described))
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, str(os.getpid())) as file:
        _write(_Tar(file, time), found, layers, (name, manifest, config, described))
    return Imaged(
        digest=digest_of(manifest),
        bundle=layout.digest(),
        layers=len(layers),
        size=out.stat().st_size,
    )


def _time(program: ImageArchive) -> int:
    """Return when it was made, as it says: its builder was told, so it is the same each time."""
    said = str(program.config.get("created", "1980-01-01T00:00:00Z"))
    return int(datetime.fromisoformat(said).timestamp())


def _layers(layout: Layout, time: int) -> Iterator[TarLayer]:
    """Yield the layers of a bundle: the biggest blobs one by one, then all else."""
    blobs = sorted(path for path in (layout.folder / "blobs").rglob("*") if path.is_file())
    big = sorted((path for path in blobs if path.stat().st_size >= _OWN_LAYER), key=_size)[-_MOST:]
    for path in sorted(big):
        yield TarLayer(entries=(_entry(layout, path),), time=time)
    rest = [path for path in blobs if path not in big]
    rest += [layout.folder / INDEX, layout.folder / MARKER]
    yield TarLayer(entries=tuple(_entry(layout, path) for path in sorted(rest)), time=time)


def _size(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name


def _entry(layout: Layout, path: Path) -> TarEntry:
    return TarEntry(f"{FOLDER}/{path.relative_to(layout.folder).as_posix()}", path)


def _config(
    program: ImageArchive, bundle: Digest, layers: list[Descriptor], name: str
) -> dict[str, Any]:
    body = json.loads(json.dumps(program.config))
    # A layer that is not compressed has the digest of its contents.
    body["rootfs"]["diff_ids"] += [layer.digest for layer in layers]
    made = {"created": body.get("created"), "created_by": f"cto bundle image: {bundle}"}
    body.setdefault("history", []).extend([made] * len(layers))
    settings = body["config"]
    settings["Labels"] = {**(settings.get("Labels") or {}), LABEL: bundle}
    own = (f"{VARIABLE}=/{FOLDER}", f"{NAME_VARIABLE}={name}")
    settings["Env"] = [*(settings.get("Env") or ()), *own]
    return dict(body)


def _manifest(program: ImageArchive, config: bytes, layers: list[Descriptor]) -> dict[str, Any]:
    body = json.loads(program.manifest.data)
    own = Descriptor.from_json(body["config"])
    found = replace(own, digest=digest_of(config), size=len(config))
    body["config"] = found.to_json()
    body["layers"] = [*body["layers"], *(layer.to_json() for layer in layers)]
    return dict(body)


class _Tar:
    """Writes a tar, file by file."""

    def __init__(self, file: BinaryIO, time: int) -> None:
        self._file = file
        self._time = time

    def add(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        self._file.write(tar_head(name, size, self._time))
        for piece in pieces:
            self._file.write(piece)
        self._file.write(bytes(-size % tarfile.BLOCKSIZE))

    def add_bytes(self, name: str, data: bytes) -> None:
        self.add(name, len(data), iter((data,)))

    def end(self) -> None:
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))


def _write(
    tar: _Tar,
    program: ImageArchive,
    layers: list[TarLayer],
    what: tuple[str, bytes, bytes, list[Descriptor]],
) -> None:
    name, manifest, config, described = what
    tar.add_bytes(MARKER, MARKER_BYTES)
    tar.add_bytes(blob_path(digest_of(config)), config)
    # The first is the configuration, and there is another one now.
    for old in program.manifest.blobs[1:]:
        tar.add(blob_path(old.digest), old.size, program.pieces(old))
    for layer, new in zip(layers, described, strict=True):
        tar.add(blob_path(new.digest), new.size, layer.pieces())
    tar.add_bytes(blob_path(digest_of(manifest)), manifest)
    tar.add_bytes(INDEX, to_bytes(_index(name, manifest)))
    body = json.loads(manifest)
    paths = [blob_path(Digest(layer["digest"])) for layer in body["layers"]]
    entry = {"Config": blob_path(digest_of(config)), "RepoTags": [name], "Layers": paths}
    tar.add_bytes("manifest.json", to_bytes([entry]))
    tar.end()


def _index(name: str, manifest: bytes) -> dict[str, Any]:
    found = Descriptor(
        media_type=OCI_MANIFEST,
        digest=digest_of(manifest),
        size=len(manifest),
        annotations={
            "io.containerd.image.name": normalise(name),
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    )
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [found.to_json()]}
