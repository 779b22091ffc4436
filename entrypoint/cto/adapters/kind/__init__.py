"""Clusters of kind in Docker: the provider, and where the images of their nodes come from."""

from cto.adapters.kind.access import KindAccess, owner_of
from cto.adapters.kind.config import node_ports, without_proxy
from cto.adapters.kind.marker import Marker
from cto.adapters.kind.program import KindProgram
from cto.adapters.kind.provider import Kind
from cto.adapters.kind.supply import Bundle, BundleRegistry, UpstreamImages

__all__ = [
    "Bundle",
    "BundleRegistry",
    "Kind",
    "KindAccess",
    "KindProgram",
    "Marker",
    "UpstreamImages",
    "node_ports",
    "owner_of",
    "without_proxy",
]
