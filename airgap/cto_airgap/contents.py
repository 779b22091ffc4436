"""What a bundle holds: the index of its layout, as a value that turns into the same bytes again.

Every image keeps the name that upstream gave it, and the bytes of its index. Of that index only
one platform is in the bundle; the digests of the others are written down as absent, because a
missing file and one that nobody wanted would otherwise look the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from cto import goyaml
from cto_airgap.oci import (
    OCI_INDEX,
    Descriptor,
    Digest,
    ImagePlatform,
    digest_of,
    parse_digest,
    to_bytes,
)

# The name, for crane, skopeo and oras, and for containerd and Docker:
# https://github.com/opencontainers/image-spec/blob/main/annotations.md
_NAME = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME = "io.containerd.image.name"
MARK = "dev.cto.bundle"
_KIND = "dev.cto.bundle.kind"
_ABSENT = "dev.cto.bundle.absent"
_FORMAT = "dev.cto.bundle.format"
_PLATFORM = "dev.cto.bundle.platform"
_PROFILE = "dev.cto.bundle.profile"
# Of the index itself, without this annotation: nothing else vouches for the one file of a layout
# that is not named by its digest.
_SEAL = "dev.cto.bundle.seal"
FORMAT = "1"


class ItemKind(StrEnum):
    IMAGE = "image"
    CHART = "chart"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image or chart.

    Attributes:
        name: `docker.io/grafana/grafana:13.2.0`, `charts/grafana:12.11.1`.
        descriptor: Of its index or manifest.
        absent: Children of its index that the bundle does not have.
    """

    name: str
    kind: ItemKind
    descriptor: Descriptor
    absent: frozenset[Digest] = frozenset()

    def to_json(self) -> dict[str, Any]:
        annotations = {_NAME: self.name, _KIND: self.kind.value}
        if self.kind is ItemKind.IMAGE:
            annotations[_CONTAINERD_NAME] = self.name
        if self.absent:
            annotations[_ABSENT] = " ".join(sorted(self.absent))
        return replace(self.descriptor, annotations=annotations, platform=None).to_json()

    @classmethod
    def from_json(cls, data: Any) -> Item:
        """Return the item that an entry of the index is.

        Raises:
            ValueError: It is none of ours.
        """
        found = Descriptor.from_json(data)
        said = found.annotations
        if _NAME not in said:
            message = f"{found.digest} has no name"
            raise ValueError(message)
        return cls(
            name=said[_NAME],
            kind=ItemKind(said.get(_KIND, "")),
            descriptor=replace(found, annotations={}, platform=None),
            absent=frozenset(parse_digest(text) for text in said.get(_ABSENT, "").split()),
        )


@dataclass(frozen=True, kw_only=True)
class Contents:
    """All items of a bundle, in the order of their names.

    Attributes:
        profile: What it was made to be enough for; '' if nobody said.
    """

    platform: ImagePlatform
    profile: str = ""
    items: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in self.items]
        if names != sorted(set(names)):
            message = "names are not sorted, or one is there twice"
            raise ValueError(message)

    @property
    def images(self) -> tuple[Item, ...]:
        return self._of(ItemKind.IMAGE)

    @property
    def charts(self) -> tuple[Item, ...]:
        return self._of(ItemKind.CHART)

    def _of(self, kind: ItemKind) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.kind is kind)

    def to_bytes(self) -> bytes:
        """Return the index.json of the layout; the same items give the same bytes."""
        body = self._body()
        body["annotations"][_SEAL] = digest_of(to_bytes(body))
        return to_bytes(body)

    def _body(self) -> dict[str, Any]:
        said = {_FORMAT: FORMAT, _PLATFORM: str(self.platform)}
        if self.profile:
            said[_PROFILE] = self.profile
        return {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [item.to_json() for item in self.items],
            "annotations": said,
        }


def read_contents(data: bytes) -> Contents:
    """Return what an index.json says.

    Raises:
        ValueError: It is not the index of a bundle, or a single byte of it was changed.
    """
    body = goyaml.load_json(data)
    said = body.get("annotations") if isinstance(body, Mapping) else None
    if not isinstance(said, Mapping) or said.get(_FORMAT) != FORMAT:
        message = f"it is not the index of a bundle of format {FORMAT}"
        raise ValueError(message)
    found = Contents(
        platform=ImagePlatform.parse(str(said.get(_PLATFORM))),
        profile=str(said.get(_PROFILE, "")),
        items=tuple(Item.from_json(item) for item in body.get("manifests") or ()),
    )
    if found.to_bytes() != data:
        message = "it was changed after it was written"
        raise ValueError(message)
    return found
