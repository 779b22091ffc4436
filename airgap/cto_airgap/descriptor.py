"""What OCI documents point with: type, digest and size of some bytes, and for which platform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cto_airgap import digest as digests
from cto_airgap.digest import Digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

# The variant that an architecture means when it names none:
# https://github.com/containerd/platforms, normalizeArch.
_USUAL_VARIANT = {"arm64": "v8", "arm": "v7", "amd64": "v1"}


@dataclass(frozen=True, order=True)
class Platform:
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
    def plain(self) -> Platform:
        """The same without a variant that goes without saying."""
        usual = _USUAL_VARIANT.get(self.architecture, "")
        return Platform(self.os, self.architecture) if self.variant == usual else self

    @classmethod
    def parse(cls, text: str) -> Platform:
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
    platform: Platform | None = None
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
            digest=digests.parse(str(data.get("digest"))),
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


def _platform(data: Any) -> Platform | None:
    if not isinstance(data, Mapping):
        return None
    parts = (data.get("os"), data.get("architecture"), data.get("variant"))
    return Platform(*(str(part or "") for part in parts))


def _annotations(data: Any) -> dict[str, str]:
    return {str(k): str(v) for k, v in data.items()} if isinstance(data, Mapping) else {}
