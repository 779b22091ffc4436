"""Puts a bundle into an image, as layers of its own, and writes both as one file.

The file is an OCI layout in a tar, as `docker load` takes it; Docker before 25 reads manifest.json.
Blobs of a bundle are compressed already: their layers are not, so that nothing is packed twice.
Big ones are layers by themselves: the next image has most of them, too.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from cto_airgap import digest as digests
from cto_airgap import reference as references
from cto_airgap.archive import Archive, blob_path
from cto_airgap.descriptor import OCI_INDEX, OCI_MANIFEST, Descriptor
from cto_airgap.digest import Digest
from cto_airgap.document import to_bytes
from cto_airgap.layer import Entry, Layer, head
from cto_airgap.layout import INDEX, MARKER, MARKER_BYTES, Layout

FOLDER = "opt/cto/bundle"
LABEL = "cto.dev/bundle"
VARIABLE = "CTO_BUNDLE"
NAME_VARIABLE = "CTO_IMAGE_NAME"
_OWN_LAYER = 32 << 20
# overlay2 takes 128 layers, and the program has some.
_MOST = 64


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


def write(program: Path, bundle: Path, out: Path, name: str) -> Imaged:
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
    found = Archive(program)
    time = _time(found)
    layers = [*_layers(layout, time)]
    described = [layer.describe() for layer in layers]
    config = to_bytes(_config(found, layout.digest(), described, name))
    manifest = to_bytes(_manifest(found, config, described))
    with _writing(out) as file:
        _write(_Tar(file, time), found, layers, (name, manifest, config, described))
    return Imaged(
        digest=digests.of_bytes(manifest),
        bundle=layout.digest(),
        layers=len(layers),
        size=out.stat().st_size,
    )


def _time(program: Archive) -> int:
    """Return when it was made, as it says: its builder was told, so it is the same each time."""
    said = str(program.config.get("created", "1980-01-01T00:00:00Z"))
    return int(datetime.fromisoformat(said).timestamp())


def _layers(layout: Layout, time: int) -> Iterator[Layer]:
    """Yield the layers of a bundle: the biggest blobs one by one, then all else."""
    blobs = sorted(path for path in (layout.folder / "blobs").rglob("*") if path.is_file())
    big = sorted((path for path in blobs if path.stat().st_size >= _OWN_LAYER), key=_size)[-_MOST:]
    for path in sorted(big):
        yield Layer(entries=(_entry(layout, path),), time=time)
    rest = [path for path in blobs if path not in big]
    rest += [layout.folder / INDEX, layout.folder / MARKER]
    yield Layer(entries=tuple(_entry(layout, path) for path in sorted(rest)), time=time)


def _size(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name


def _entry(layout: Layout, path: Path) -> Entry:
    return Entry(f"{FOLDER}/{path.relative_to(layout.folder).as_posix()}", path)


def _config(
    program: Archive, bundle: Digest, layers: list[Descriptor], name: str
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


def _manifest(program: Archive, config: bytes, layers: list[Descriptor]) -> dict[str, Any]:
    body = json.loads(program.manifest.data)
    own = Descriptor.from_json(body["config"])
    found = replace(own, digest=digests.of_bytes(config), size=len(config))
    body["config"] = found.to_json()
    body["layers"] = [*body["layers"], *(layer.to_json() for layer in layers)]
    return dict(body)


class _Tar:
    """Writes a tar, file by file."""

    def __init__(self, file: BinaryIO, time: int) -> None:
        self._file = file
        self._time = time

    def add(self, name: str, size: int, pieces: Iterator[bytes]) -> None:
        self._file.write(head(name, size, self._time))
        for piece in pieces:
            self._file.write(piece)
        self._file.write(bytes(-size % tarfile.BLOCKSIZE))

    def add_bytes(self, name: str, data: bytes) -> None:
        self.add(name, len(data), iter((data,)))

    def end(self) -> None:
        self._file.write(bytes(2 * tarfile.BLOCKSIZE))


def _write(
    tar: _Tar,
    program: Archive,
    layers: list[Layer],
    what: tuple[str, bytes, bytes, list[Descriptor]],
) -> None:
    name, manifest, config, described = what
    tar.add_bytes(MARKER, MARKER_BYTES)
    tar.add_bytes(blob_path(digests.of_bytes(config)), config)
    # The first is the configuration, and there is another one now.
    for old in program.manifest.blobs[1:]:
        tar.add(blob_path(old.digest), old.size, program.pieces(old))
    for layer, new in zip(layers, described, strict=True):
        tar.add(blob_path(new.digest), new.size, layer.pieces())
    tar.add_bytes(blob_path(digests.of_bytes(manifest)), manifest)
    tar.add_bytes(INDEX, to_bytes(_index(name, manifest)))
    body = json.loads(manifest)
    paths = [blob_path(Digest(layer["digest"])) for layer in body["layers"]]
    entry = {"Config": blob_path(digests.of_bytes(config)), "RepoTags": [name], "Layers": paths}
    tar.add_bytes("manifest.json", to_bytes([entry]))
    tar.end()


def _index(name: str, manifest: bytes) -> dict[str, Any]:
    found = Descriptor(
        media_type=OCI_MANIFEST,
        digest=digests.of_bytes(manifest),
        size=len(manifest),
        annotations={
            "io.containerd.image.name": references.normalise(name),
            "org.opencontainers.image.ref.name": name.rpartition(":")[2],
        },
    )
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [found.to_json()]}


@contextmanager
def _writing(out: Path) -> Iterator[BinaryIO]:
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
