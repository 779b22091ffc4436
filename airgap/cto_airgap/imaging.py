"""Puts a bundle into an image, as layers of its own, and writes both as one file.

The file is an OCI layout in a tar, as `docker load` takes it; Docker before 25 reads manifest.json.
Blobs of a bundle are compressed already: their layers are not, so that nothing is packed twice.
Big ones are layers by themselves: the next image has most of them, too.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO

from cto.errors import IntegrityError
from cto_airgap import digest as digests
from cto_airgap import reference as references
from cto_airgap.descriptor import OCI_INDEX, OCI_MANIFEST, Descriptor
from cto_airgap.digest import Digest, algorithm_of, hex_of
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
_PIECE = 1 << 20


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


@dataclass(frozen=True)
class _Program:
    """An image without a bundle, in a file."""

    file: tarfile.TarFile
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    def blob(self, digest: Digest) -> IO[bytes]:
        return _member(self.file, _blob(digest))

    @property
    def time(self) -> int:
        """When it was made, as it says: its builder was told, so that it is the same each time."""
        said = str(self.config.get("created", "1980-01-01T00:00:00Z"))
        return int(datetime.fromisoformat(said).timestamp())


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
    found = _open(program)
    with closing(found.file):
        layers = [*_layers(layout, found.time)]
        described = [layer.describe() for layer in layers]
        config = to_bytes(_config(found, layout.digest(), described, name))
        manifest = to_bytes(_manifest(found, config, described))
        with _writing(out) as file:
            _write(_Tar(file, found.time), found, layers, (name, manifest, config, described))
    return Imaged(
        digest=digests.of_bytes(manifest),
        bundle=layout.digest(),
        layers=len(layers),
        size=out.stat().st_size,
    )


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
    program: _Program, bundle: Digest, layers: list[Descriptor], name: str
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


def _manifest(program: _Program, config: bytes, layers: list[Descriptor]) -> dict[str, Any]:
    body = dict(program.manifest)
    own = Descriptor.from_json(body["config"])
    found = replace(own, digest=digests.of_bytes(config), size=len(config))
    body["config"] = found.to_json()
    body["layers"] = [*body["layers"], *(layer.to_json() for layer in layers)]
    return body


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
    program: _Program,
    layers: list[Layer],
    what: tuple[str, bytes, bytes, list[Descriptor]],
) -> None:
    name, manifest, config, described = what
    tar.add_bytes(MARKER, MARKER_BYTES)
    tar.add_bytes(_blob(digests.of_bytes(config)), config)
    for old in map(Descriptor.from_json, program.manifest["layers"]):
        with program.blob(old.digest) as blob:
            tar.add(_blob(old.digest), old.size, _read(blob))
    for layer, new in zip(layers, described, strict=True):
        tar.add(_blob(new.digest), new.size, layer.pieces())
    tar.add_bytes(_blob(digests.of_bytes(manifest)), manifest)
    tar.add_bytes(INDEX, to_bytes(_index(name, manifest)))
    body = json.loads(manifest)
    paths = [_blob(Digest(layer["digest"])) for layer in body["layers"]]
    entry = {"Config": _blob(digests.of_bytes(config)), "RepoTags": [name], "Layers": paths}
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


def _blob(digest: Digest) -> str:
    return f"blobs/{algorithm_of(digest)}/{hex_of(digest)}"


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _open(path: Path) -> _Program:
    """Open an image; all of its files have to be there."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tarfile.open(path))
            manifest = _manifest_of(file, _json(file, INDEX)["manifests"])
            config = _json(file, _blob(Descriptor.from_json(manifest["config"]).digest))
            _check_layers(file, manifest)
        except (OSError, tarfile.TarError, KeyError, ValueError, TypeError) as error:
            text = f"{path} holds no image as an OCI layout"
            raise IntegrityError("CTO-1811", text, details=str(error)) from error
        stack.pop_all()
    return _Program(file, manifest, config)


def _check_layers(file: tarfile.TarFile, manifest: Mapping[str, Any]) -> None:
    for layer in map(Descriptor.from_json, manifest["layers"]):
        if file.getmember(_blob(layer.digest)).size != layer.size:
            text = f"{layer.digest} is cut off"
            raise ValueError(text)


def _manifest_of(file: tarfile.TarFile, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one manifest of an image."""
    if len(entries) != 1 or entries[0]["mediaType"] != OCI_MANIFEST:
        text = "it is not one image for one platform"
        raise ValueError(text)
    return _json(file, _blob(Descriptor.from_json(entries[0]).digest))


def _json(file: tarfile.TarFile, name: str) -> dict[str, Any]:
    with _member(file, name) as found:
        body: dict[str, Any] = json.load(found)
    return body


def _member(file: tarfile.TarFile, name: str) -> IO[bytes]:
    found = file.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found


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
