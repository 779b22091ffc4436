"""What the images of a bundle are called in somebody's own registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cto_airgap import reference as references
from cto_airgap.contents import Item, Kind
from cto_airgap.digest import Digest
from cto_airgap.reference import Reference


@dataclass(frozen=True)
class Target:
    """A registry, and what comes before the names of repositories there (may be empty)."""

    host: str
    prefix: str = ""

    def reference(self, repository: str, tag: str) -> Reference:
        parts = (self.prefix, repository)
        return Reference(self.host, "/".join(part for part in parts if part), tag)

    @classmethod
    def parse(cls, text: str) -> Target:
        """Return the target that `HOST[:PORT][/PREFIX]` names.

        Raises:
            InvalidReferenceError: It names none.
        """
        host, _, prefix = text.rstrip("/").partition("/")
        probe = references.parse(f"{host}/{prefix or 'x'}")
        if probe.host != host or probe.tag != "latest":
            message = f"not a registry: {text[:300]!r}"
            raise references.InvalidReferenceError(message)
        return cls(host, prefix)

    def of(self, old: Reference, digest: Digest | Literal[""] = "") -> Reference:
        """Return what an image is called here: its host is a part of the path.

        That takes nothing but the image's own name, so whoever installs from a registry knows it
        without asking; two images of one name on two hosts stay two; and a node that has this
        registry as a mirror of all hosts finds it, too.
        """
        host = old.host.replace(":", "-").lower()
        # An image that is named by digest alone needs a tag, or it is not to be found again.
        tag = old.tag or f"sha256-{(digest or old.digest).partition(':')[2]}"
        return replace(self.reference(f"{host}/{old.repository}", tag), digest=digest)


def names(items: Iterable[Item], target: Target) -> Mapping[str, Reference]:
    """Return the new names by the old ones."""
    return {item.name: _new(item, target) for item in items}


def _new(item: Item, target: Target) -> Reference:
    if item.kind is Kind.IMAGE:
        return target.of(references.parse(item.name))
    repository, _, tag = item.name.partition(":")
    return target.reference(repository, tag)
