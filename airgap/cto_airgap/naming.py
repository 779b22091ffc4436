"""What the images of a bundle are called in somebody's own registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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


def names(items: Iterable[Item], target: Target) -> Mapping[str, Reference]:
    """Return the new names by the old ones.

    Repositories keep their names without the host, so that a chart's setting for "the registry"
    is enough. Where that makes two images one, the host becomes part of both names.
    """
    found = {item: _parts(item) for item in items}
    users: dict[tuple[str, str], set[Digest]] = {}
    for item, (_, repository, tag) in found.items():
        users.setdefault((repository, tag), set()).add(item.descriptor.digest)
    return {
        item.name: target.reference(
            repository if len(users[repository, tag]) == 1 else f"{host}/{repository}", tag
        )
        for item, (host, repository, tag) in found.items()
    }


def _parts(item: Item) -> tuple[str, str, str]:
    """Return host, as a part of a path, repository and tag."""
    if item.kind is Kind.CHART:
        repository, _, tag = item.name.partition(":")
        return "charts", repository, tag
    old = references.parse(item.name)
    # An image that is named by digest alone needs a tag, or it is not to be found again.
    tag = old.tag or f"sha256-{item.descriptor.digest.partition(':')[2]}"
    return old.host.replace(":", "-").lower(), old.repository, tag
