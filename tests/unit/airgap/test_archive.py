"""An image in a file gets into a bundle as one from a registry does."""

from __future__ import annotations

from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.errors import IntegrityError
from cto_airgap.build import Builder, WantedBundle, WantedImage
from cto_airgap.layout import Part
from cto_airgap.oci import Descriptor, Document, ImagePlatform, hex_of
from cto_airgap.reference import Reference, parse_reference
from cto_airgap.sources import ImageArchive, WithArchives
from cto_airgap.verify import check
from fakes.archives import program

OURS = parse_reference("cto.internal/controller:1")
AMD64 = ImagePlatform("linux", "amd64")


class Nobody:
    """Has no image, and notes what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def manifest(self, reference: Reference) -> Document:
        self.asked.append(str(reference))
        raise LookupError

    def config(self, reference: Reference, wanted: Descriptor) -> bytes:
        self.asked.append(f"{reference} {wanted.digest}")
        raise LookupError

    def fetch(self, reference: Reference, wanted: Descriptor, part: Part) -> None:
        self.asked.append(f"{reference} {wanted.digest} {part.size}")
        raise LookupError


def amd64(parts: dict[str, Any]) -> None:
    parts["config"]["architecture"] = "amd64"


def build(archive: ImageArchive, out: Path) -> None:
    images = WithArchives(Nobody(), {OURS.name: archive})
    wanted = WantedBundle(platform=AMD64, images=(WantedImage(OURS, archive.manifest.digest),))
    Builder(images, lambda chart: Path(chart.name), stop=Flag()).build(wanted, out)


def test_a_bundle_has_the_image_under_its_name_and_whole(tmp_path: Path) -> None:
    archive = ImageArchive(program(tmp_path, amd64))
    build(archive, tmp_path / "bundle")
    found = check(tmp_path / "bundle")
    blobs = {path.name for path in (tmp_path / "bundle" / "blobs").rglob("*") if path.is_file()}
    assert found.files > len(archive.manifest.blobs)
    assert {hex_of(blob.digest) for blob in archive.manifest.blobs} <= blobs


def test_all_others_come_from_the_registry() -> None:
    nobody = Nobody()
    other = parse_reference("r.example/web:1")
    with pytest.raises(LookupError):
        WithArchives(nobody, {}).manifest(other)
    assert nobody.asked == ["r.example/web:1"]


def test_an_image_for_another_platform_is_refused(tmp_path: Path) -> None:
    def arm64(parts: dict[str, Any]) -> None:
        parts["config"]["architecture"] = "arm64"

    with pytest.raises(Exception, match="is not there for linux/amd64"):
        build(ImageArchive(program(tmp_path, arm64)), tmp_path / "bundle")


def test_a_damaged_layer_gets_into_no_bundle(tmp_path: Path) -> None:
    path = program(tmp_path, amd64)
    archive = ImageArchive(path)
    layer = archive.manifest.blobs[1]
    data = path.read_bytes()
    at = data.index(b"".join(archive.pieces(layer)))
    path.write_bytes(data[:at] + bytes(layer.size) + data[at + layer.size :])
    with pytest.raises(IntegrityError) as caught:
        build(archive, tmp_path / "bundle")
    assert caught.value.code == "CTO-1800"
    assert "cto.internal/controller" in caught.value.message


def test_a_manifest_that_is_not_the_named_one_is_refused(tmp_path: Path) -> None:
    def other(parts: dict[str, Any]) -> None:
        kind = "application/vnd.oci.image.manifest.v1+json"
        entry = {"mediaType": kind, "digest": f"sha256:{'0' * 64}", "size": 2}
        parts["index"] = {"manifests": [entry]}
        parts["files"] = {f"blobs/sha256/{'0' * 64}": b"{}"}

    with pytest.raises(IntegrityError) as caught:
        ImageArchive(program(tmp_path, other))
    assert caught.value.code == "CTO-1811"
