"""Indexes and manifests: the documents that an image consists of, as upstream wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cto import goyaml
from cto_airgap import digest as digests
from cto_airgap.descriptor import INDEXES, MANIFESTS, Descriptor, Platform
from cto_airgap.digest import Digest

# Registries refuse larger ones: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests
LARGEST = 4 << 20


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

    def child_for(self, platform: Platform) -> Descriptor | None:
        """Return the child for a platform; the first one, should there be several."""
        for child in self.children:
            if child.platform and child.platform.plain == platform.plain:
                return child
        return None


def read(data: bytes, media_type: str = "", algorithm: str = "sha256") -> Document:
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
    digest = digests.of_bytes(data, algorithm)
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
    return read(to_bytes(body), index.media_type)


def to_bytes(body: Any) -> bytes:
    """Return JSON whose bytes depend on nothing but the data."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def _object(data: bytes) -> dict[str, Any]:
    if len(data) > LARGEST:
        message = f"it is larger than {LARGEST >> 20} MiB"
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
