"""Asks registries for what a lock says of an image."""

from __future__ import annotations

from cto.bundle.resolve import Resolved
from cto_airgap.images import resolve
from cto_airgap.reference import parse_reference
from cto_airgap.registry import RegistryClient


class RegistryResolver:
    """Implements `cto.bundle.resolve.Resolver`."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry

    def resolve(self, reference: str) -> Resolved:
        found = resolve(self._registry, parse_reference(reference))
        platforms = tuple(map(str, found.platforms))
        return Resolved(digest=found.digest, size=found.size, platforms=platforms)
