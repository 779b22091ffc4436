"""Small images whose bytes depend on nothing but what is asked for."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cto_airgap.oci import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Digest, digest_of

_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"


@dataclass(frozen=True)
class Image:
    """An image as a registry has it.

    Attributes:
        blobs: Configurations and layers.
        documents: Media type and bytes of manifests and index, in the order to push them.
        root: Digest of the last document.
    """

    blobs: Mapping[Digest, bytes]
    documents: Mapping[Digest, tuple[str, bytes]]
    root: Digest


def noise(size: int, seed: int) -> bytes:
    """Return bytes that do not compress."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same ones every time


def tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar whose bytes are those of its files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def layer(files: Mapping[str, bytes]) -> bytes:
    return gzip.compress(tar(files), 1, mtime=0)


def image(
    *layers: bytes,
    platform: str = "linux/amd64",
    text: str = "",
    docker: bool = False,
) -> Image:
    """Return an image of one platform, without an index."""
    system, architecture, *variant = platform.split("/")
    config: dict[str, Any] = {
        "os": system,
        "architecture": architecture,
        "config": {"Labels": {"text": text}},
        "rootfs": {
            "type": "layers",
            "diff_ids": [digest_of(gzip.decompress(data)) for data in layers],
        },
    }
    if variant:
        config["variant"] = variant[0]
    parts = [(_CONFIG, json.dumps(config).encode()), *((_LAYER, data) for data in layers)]
    entries = [
        {"mediaType": kind, "digest": digest_of(data), "size": len(data)} for kind, data in parts
    ]
    kind = DOCKER_MANIFEST if docker else OCI_MANIFEST
    body = {"schemaVersion": 2, "mediaType": kind, "config": entries[0], "layers": entries[1:]}
    data = json.dumps(body, indent=3).encode()
    root = digest_of(data)
    blobs = {digest_of(part): part for _, part in parts}
    return Image(blobs, {root: (kind, data)}, root)


def index(
    images: Mapping[str, Image], *, attestations: Iterable[Image] = (), docker: bool = False
) -> Image:
    """Return an image with an index, as upstream would write it."""
    entries: list[dict[str, Any]] = []
    blobs: dict[Digest, bytes] = {}
    documents: dict[Digest, tuple[str, bytes]] = {}
    named = [*images.items(), *(("unknown/unknown", one) for one in attestations)]
    for platform, one in named:
        kind, data = one.documents[one.root]
        system, architecture, *variant = platform.split("/")
        where = {"architecture": architecture, "os": system}
        if variant:
            where["variant"] = variant[0]
        entry = {"mediaType": kind, "digest": one.root, "size": len(data), "platform": where}
        entries.append(entry)
        blobs |= one.blobs
        documents |= one.documents
    kind = DOCKER_INDEX if docker else OCI_INDEX
    body = {"schemaVersion": 2, "mediaType": kind, "manifests": entries}
    data = json.dumps(body, indent=2).encode()
    root = digest_of(data)
    return Image(blobs, documents | {root: (kind, data)}, root)


def chart(path: Path, name: str, version: str) -> str:
    """Write the archive of a chart; return its sha256."""
    text = f"apiVersion: v2\nname: {name}\nversion: {version}\n"
    data = layer({f"{name}/Chart.yaml": text.encode()})
    path.write_bytes(data)
    return digest_of(data).partition(":")[2]
