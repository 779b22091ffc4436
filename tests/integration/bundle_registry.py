"""A real registry on a loopback port, with tiny images under the names of upstream's."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.registry import running
from lab.registry.running import Registries

PLATFORMS = ("linux/amd64", "linux/arm64")
_MEDIA = "application/vnd.oci.image"
_INDEX = f"{_MEDIA}.index.v1+json"
_ACCEPT = f"{_INDEX}, {_MEDIA}.manifest.v1+json"


def descriptor(media: str, content: bytes, **more: Any) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": f"{_MEDIA}.{media}", "digest": digest, "size": len(content), **more}


def layer(text: str) -> bytes:
    """Return a layer with one file: the same bytes for the same text."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)


class Distribution:
    """A registry that runs. Keeps no secrets and asks for none."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.url = f"http://{address}"
        self._session = requests.Session()
        self._session.trust_env = False

    def put_image(self, repository: str, tag: str) -> str:
        """Push an image for two platforms, with a layer that all images share; return its digest.

        Its own layer is big enough to be cut off in the middle.
        """
        shared = self._blob(repository, "layer.v1.tar+gzip", layer("shared"))
        manifests = []
        for platform in PLATFORMS:
            own = layer(f"{repository}:{tag} {platform}" * 200)
            layers = [shared, self._blob(repository, "layer.v1.tar+gzip", own)]
            system, cpu = platform.split("/")
            about = {"os": system, "architecture": cpu, "rootfs": {"type": "layers"}}
            config = self._blob(repository, "config.v1+json", json.dumps(about).encode())
            body = self._manifest("manifest.v1+json", config=config, layers=layers)
            found = descriptor("manifest.v1+json", body)
            self._put(repository, found["digest"], body, found["mediaType"])
            manifests.append({**found, "platform": {"os": system, "architecture": cpu}})
        body = self._manifest("index.v1+json", manifests=manifests)
        self._put(repository, tag, body, _INDEX)
        return str(descriptor("index.v1+json", body)["digest"])

    def tags(self) -> dict[str, list[str]]:
        """Return the tags of every repository."""
        names = self._send("GET", "/v2/_catalog?n=1000").json()["repositories"]
        return {name: self._send("GET", f"/v2/{name}/tags/list").json()["tags"] for name in names}

    def digest(self, repository: str, reference: str) -> str:
        """Return the digest of what the registry serves."""
        body = self._send("GET", f"/v2/{repository}/manifests/{reference}", accept=_ACCEPT).content
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def close(self) -> None:
        self._session.close()

    @staticmethod
    def _manifest(kind: str, **fields: Any) -> bytes:
        return json.dumps({"schemaVersion": 2, "mediaType": f"{_MEDIA}.{kind}", **fields}).encode()

    def _blob(self, repository: str, media: str, content: bytes) -> dict[str, Any]:
        found = descriptor(media, content)
        begun = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        self._send("PUT", f"{begun.headers['Location']}&digest={found['digest']}", content)
        return found

    def _put(self, repository: str, reference: str, body: bytes, media: str) -> None:
        self._send("PUT", f"/v2/{repository}/manifests/{reference}", body, media=media)

    def _send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        media: str = "application/octet-stream",
        accept: str = "*/*",
    ) -> requests.Response:
        headers = {"Content-Type": media, "Accept": accept}
        url = path if path.startswith("http") else self.url + path
        answer = self._session.request(method, url, data=body, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer


@contextmanager
def distribution(folder: Path) -> Iterator[Distribution]:
    """Run a registry whose data is below a folder, until the end of the block."""
    if why := running.missing():
        pytest.skip(why)
    folder.mkdir(parents=True)
    with Registries(folder) as registries:
        found = Distribution(registries.start())
        yield found
        found.close()
