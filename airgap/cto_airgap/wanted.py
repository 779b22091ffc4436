"""What a bundle is to hold: a resolved lock, as this package needs it."""

from __future__ import annotations

from dataclasses import dataclass

from cto.errors import IntegrityError
from cto_airgap import digest as digests
from cto_airgap.descriptor import Platform
from cto_airgap.reference import Reference


@dataclass(frozen=True, order=True)
class WantedImage:
    """An image, by the name that it keeps, and the digest that the lock has for it."""

    reference: Reference
    digest: str

    @property
    def pinned(self) -> Reference:
        return self.reference.at(digests.parse(self.digest))


@dataclass(frozen=True, order=True)
class WantedChart:
    """A chart; `sha256` is that of its archive, in hex."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Everything that goes into a bundle."""

    platform: Platform
    profile: str = ""
    images: tuple[WantedImage, ...] = ()
    charts: tuple[WantedChart, ...] = ()

    def check_resolved(self) -> None:
        """Make sure that everything has a digest.

        Raises:
            IntegrityError: CTO-1801, with the names of what has none.
        """
        lacking = [str(one.reference) for one in self.images if not _is_digest(one.digest)]
        lacking += [f"chart {c.name}" for c in self.charts if not _is_digest(f"sha256:{c.sha256}")]
        if lacking:
            text = f"{len(lacking)} of the bundle's parts have no digest"
            hint = "Resolve them where the registries can be reached: `cto bundle lock`."
            raise IntegrityError("CTO-1801", text, details="\n".join(lacking), hint=hint)


def _is_digest(text: str) -> bool:
    try:
        digests.parse(text)
    except ValueError:
        return False
    return True
