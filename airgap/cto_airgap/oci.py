"""What images are made of: digests, descriptors, and the documents that point with them.

Documents are kept as upstream wrote them, byte by byte.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NewType

from cto import goyaml

Digest = NewType("Digest", str)

# The two that the image specification registers:
# https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# Larger pieces are not faster: the digest is computed without the interpreter's lock from 2 KiB on.
_PIECE = 1 << 20

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
# The variant that an architecture means when it names none:
# https://github.com/containerd/platforms, normalizeArch.
_USUAL_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}

# Registries refuse larger ones: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests
LARGEST_DOCUMENT = 4 << 20


def parse_digest(text: str) -> Digest:
    """Return the text as a digest.

    Raises:
        ValueError: It is none.
    """
    if not _DIGEST.fullmatch(text):
        message = f"not a digest: {text[:160]!r}"
        raise ValueError(message)
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    return digest.partition(":")[2]


def digest_of(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def digest_of_file(path: Path, algorithm: str = "sha256") -> Digest:
    """Return the digest of a file; it is never in memory as a whole."""
    digest = hashlib.new(algorithm)
    buffer = bytearray(_PIECE)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return Digest(f"{algorithm}:{digest.hexdigest()}")


@dataclass(frozen=True, order=True)
class ImagePlatform:
    """`linux/amd64`, `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def is_real(self) -> bool:
        """Tell whether it is one: attestations say `unknown/unknown`."""
        return "unknown" not in (self.os, self.architecture) and bool(self.os)

    @property
    def plain(self) -> ImagePlatform:
        """The same without a variant that goes without saying."""
        usual = _USUAL_VARIANT.get(self.architecture, "")
        return ImagePlatform(self.os, self.architecture) if self.variant == usual else self

    @classmethod
    def parse(cls, text: str) -> ImagePlatform:
        """Return the platform that a text names.

        Raises:
            ValueError: It names none.
        """
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            message = f"not a platform: {text!r} (linux/amd64 is one)"
            raise ValueError(message)
        return cls(*parts)


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """Points to bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: ImagePlatform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @classmethod
    def from_json(cls, data: Any) -> Descriptor:
        """Return what decoded JSON describes.

        Raises:
            ValueError: It describes nothing.
        """
        if not isinstance(data, Mapping):
            message = "a descriptor is no object"
            raise ValueError(message)  # noqa: TRY004 - the document is wrong, not the caller
        size, media_type = data.get("size"), data.get("mediaType")
        if type(size) is not int or size < 0 or not isinstance(media_type, str):
            message = "a descriptor lacks mediaType or size"
            raise ValueError(message)
        return cls(
            media_type=media_type,
            digest=parse_digest(str(data.get("digest"))),
            size=size,
            platform=_platform(data.get("platform")),
            annotations=_annotations(data.get("annotations")),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.platform:
            found["platform"] = {"os": self.platform.os, "architecture": self.platform.architecture}
            if self.platform.variant:
                found["platform"]["variant"] = self.platform.variant
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        return found


def _platform(data: Any) -> ImagePlatform | None:
    if not isinstance(data, Mapping):
        return None
    parts = (data.get("os"), data.get("architecture"), data.get("variant"))
    return ImagePlatform(*(str(part or "") for part in parts))


def _annotations(data: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, Mapping) else {}


@dataclass(frozen=True, kw_only=True)
class Document:
    """An index or a manifest, with the bytes that its digest is of.

    Attributes:
        children: Manifests of an index.
        blobs: Configuration and layers of a manifest, in this order.
    """

    media_type: str
    data: bytes
    digest: Digest
    children: tuple[Descriptor, ...] = ()
    blobs: tuple[Descriptor, ...] = ()

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.data))

    def child_for(self, platform: ImagePlatform) -> Descriptor | None:
        """Return the child for a platform; the first one, should there be several."""
        for child in self.children:
            if child.platform and child.platform.plain == platform.plain:
                return child
        return None


def read_document(data: bytes, media_type: str = "", algorithm: str = "sha256") -> Document:
    """Return the document that bytes are.

    Args:
        data: As they came.
        media_type: What the one who points there says; the document itself may say it too.
        algorithm: Of its digest.

    Raises:
        ValueError: They are no document, or another one than was said.
    """
    body = _object(data)
    own = body.get("mediaType")
    # One digest must not be an index to one reader and a manifest to another:
    # https://github.com/opencontainers/distribution-spec/security/advisories/GHSA-mc8v-mgrf-8f4m
    if own and media_type and own != media_type:
        message = f"it is called {media_type}, and calls itself {own}"
        raise ValueError(message)
    kind = own or media_type
    digest = digest_of(data, algorithm)
    if kind in INDEXES:
        children = _descriptors(body.get("manifests"))
        return Document(media_type=kind, data=data, digest=digest, children=children)
    if kind in MANIFESTS:
        blobs = _descriptors([body.get("config"), *_list(body.get("layers"))])
        return Document(media_type=kind, data=data, digest=digest, blobs=blobs)
    message = f"it is of type {kind or 'unknown'}"
    raise ValueError(message)


def part_of(index: Document, kept: Iterable[Digest]) -> Document:
    """Return an index of some of the children, otherwise as upstream wrote it.

    It is another document, with another digest. All children kept, it is the same.
    """
    wanted = frozenset(kept)
    if wanted >= {child.digest for child in index.children}:
        return index
    body = _object(index.data)
    body["manifests"] = [item for item in body["manifests"] if item.get("digest") in wanted]
    return read_document(to_bytes(body), index.media_type)


def to_bytes(body: Any) -> bytes:
    """Return JSON whose bytes depend on nothing but the data."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST_DOCUMENT:
        message = f"it is larger than {LARGEST_DOCUMENT >> 20} MiB"
        raise ValueError(message)
    try:
        body = goyaml.load_json(data)
    except ValueError:
        message = "it is no JSON"
        raise ValueError(message) from None
    if not isinstance(body, dict):
        message = "it is no JSON object"
        raise ValueError(message)  # noqa: TRY004 - the bytes are wrong, not the caller
    return body


def _list(data: Any) -> list[Any]:
    return data if isinstance(data, list) else []


def _descriptors(data: Any) -> tuple[Descriptor, ...]:
    return tuple(Descriptor.from_json(item) for item in _list(data))
