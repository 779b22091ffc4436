"""Asks registries what is behind a name: its digest, its platforms, and how much there is of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cto import goyaml
from cto.errors import ToolError
from cto_airgap.archive import ImageSource
from cto_airgap.descriptor import Descriptor, Platform
from cto_airgap.digest import Digest
from cto_airgap.document import Document
from cto_airgap.reference import Reference
from cto_airgap.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a registry says about a reference.

    Attributes:
        digest: Of the index, or of the manifest where there is no index.
        size: Bytes to download for all platforms together.
        platforms: Sorted.
    """

    digest: Digest
    size: int
    platforms: tuple[Platform, ...]


def resolve(registry: Registry, reference: Reference) -> Found:
    """Return what is behind a reference.

    Raises:
        ToolError: CTO-1510 to 1514, the registry does not say.
        IntegrityError: CTO-1800, it sends other bytes than those of a digest.
    """
    root = registry.manifest(reference)
    manifests = [*_manifests(registry, reference, root)]
    parts = {root.digest: len(root.data)}
    for _, found in manifests:
        parts[found.digest] = len(found.data)
        parts |= {blob.digest: blob.size for blob in found.blobs}
    platforms = tuple(sorted({platform for platform, _ in manifests}))
    return Found(digest=root.digest, size=sum(parts.values()), platforms=platforms)


def platform_of(registry: ImageSource, reference: Reference, manifest: Document) -> Platform:
    """Return the platform of an image that has no index: its configuration says so.

    Raises:
        ToolError: CTO-1510 to 1514, the registry does not say.
    """
    config = _config_of(reference, manifest)
    try:
        body = goyaml.load_json(registry.config(reference, config))
        parts = (body["os"], body["architecture"], body.get("variant") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        text = f"{reference} is not an image: its configuration names no platform"
        raise ToolError("CTO-1514", text) from None
    return Platform(*(str(part) for part in parts)).plain


def _config_of(reference: Reference, manifest: Document) -> Descriptor:
    if not manifest.blobs:
        text = f"{reference} is not an image: it has no configuration"
        raise ToolError("CTO-1514", text)
    return manifest.blobs[0]


def _manifests(
    registry: Registry, reference: Reference, root: Document
) -> Iterator[tuple[Platform, Document]]:
    if not root.is_index:
        yield platform_of(registry, reference, root), root
    for child in root.children:
        if child.platform and child.platform.is_real:
            yield child.platform.plain, registry.manifest(reference.at(child.digest))
