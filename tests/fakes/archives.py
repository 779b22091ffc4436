"""Images in files, as `docker buildx build --output type=oci` writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cto import assets
from cto.bundle.rendering import own_images
from cto.catalog import load
from cto_airgap.oci import OCI_INDEX, OCI_MANIFEST, digest_of
from cto_airgap.reference import parse_reference
from fakes import images

CREATED = "2026-01-02T03:04:05Z"
Change = Callable[[dict[str, Any]], None]


def blob(data: bytes, kind: str) -> tuple[str, dict[str, Any]]:
    digest = digest_of(data)
    name = f"blobs/{digest.replace(':', '/')}"
    return name, {"mediaType": kind, "digest": digest, "size": len(data)}


def program(folder: Path, change: Change = lambda _: None) -> Path:
    """Write an image of one layer; `change` gets its index, manifest, config and files."""
    layer = images.layer({"bin/cto": b"program"})
    diff = digest_of(images.tar({"bin/cto": b"program"}))
    config = {
        "created": CREATED,
        "os": "linux",
        "config": {"Env": ["A=b"], "Entrypoint": ["cto"]},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created_by": "COPY"}],
    }
    parts: dict[str, Any] = {"config": config, "layer": layer, "files": {}, "index": {}}
    change(parts)
    data = json.dumps(parts["config"]).encode()
    name, described = blob(data, "application/vnd.oci.image.config.v1+json")
    layer_name, layer_described = blob(layer, "application/vnd.oci.image.layer.v1.tar+gzip")
    body = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described}
    manifest = json.dumps({**body, "layers": [layer_described]}).encode()
    manifest_name, manifest_described = blob(manifest, OCI_MANIFEST)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [manifest_described]}
    files = {
        "oci-layout": b"{}",
        "index.json": json.dumps({**index, **parts["index"]}).encode(),
        name: data,
        layer_name: parts["layer"],
        manifest_name: manifest,
        **parts["files"],
    }
    path = folder / "program.tar"
    path.write_bytes(images.tar({n: d for n, d in files.items() if d is not None}))
    return path


def ours(folder: Path, platform: str = "linux/amd64") -> dict[str, Path]:
    """Write a file for each image that is made of this project; return them by their names."""
    catalog = load(assets.root() / "bundle")
    found = {}
    for name in own_images(catalog.components):
        reference = parse_reference(name).name
        (place := folder / reference.rpartition("/")[2]).mkdir(parents=True, exist_ok=True)

        def change(parts: dict[str, Any]) -> None:
            parts["config"]["architecture"] = platform.partition("/")[2]

        found[reference] = program(place, change)
    return found
