"""OCI image layouts, written so that the same content gives the same bytes.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lab.tools import build

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER = f"{LAYER}+gzip"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def as_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


class Layout:
    """A folder that holds blobs, and an index of the images in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, digest: str) -> Path:
        return self.folder / "blobs" / "sha256" / digest.partition(":")[2]

    def put(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        """Keep a blob, and return what describes it."""
        digest = digest_of(data)
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".tmp")
            part.write_bytes(data)
            part.replace(path)
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def take(self, file: Path, media_type: str) -> dict[str, Any]:
        """Make a file of the same file system a blob; it is gone from where it was."""
        size, digest = file.stat().st_size, f"sha256:{build.sha256_of(file)}"
        self.path(digest).parent.mkdir(parents=True, exist_ok=True)
        file.replace(self.path(digest))
        return {"mediaType": media_type, "digest": digest, "size": size}

    def image(
        self, config: dict[str, Any], layers: list[dict[str, Any]], **more: Any
    ) -> dict[str, Any]:
        """Keep an image of layers that are there, and return what describes it."""
        described = self.put(as_json(config), CONFIG)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described,
            "layers": layers,
        }
        return self.put(as_json(manifest), MANIFEST, **more)

    def finish(self, images: list[dict[str, Any]]) -> None:
        """Write the index, last: a layout without one is not complete."""
        (self.folder / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images}
        part = self.folder / "index.json.tmp"
        part.write_bytes(as_json(index))
        part.replace(self.folder / "index.json")

    def images(self) -> list[dict[str, Any]]:
        """Read what the index names."""
        found = json.loads((self.folder / "index.json").read_text())["manifests"]
        return [item for item in found if isinstance(item, dict)]

    def read(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        """Read a blob that is JSON."""
        value = json.loads(self.path(descriptor["digest"]).read_text())
        return value if isinstance(value, dict) else {}


def config_of(architecture: str, diff_ids: list[str], config: dict[str, Any]) -> dict[str, Any]:
    """Return an image's configuration; nothing in it depends on when and where it was made."""
    return {
        "architecture": architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
