"""Asks registries for what a lock says of an image."""

from __future__ import annotations

from cto.bundle.resolve import Resolved
from cto_airgap.reference import parse
from cto_airgap.registry import Registry
from cto_airgap.resolve import resolve


class RegistryResolver:
    """Implements `cto.bundle.resolve.Resolver`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def resolve(self, reference: str) -> Resolved:
        found = resolve(self._registry, parse(reference))
        platforms = tuple(map(str, found.platforms))
        return Resolved(digest=found.digest, size=found.size, platforms=platforms)
