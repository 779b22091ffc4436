"""Clusters whose nodes kwok simulates, with a real API server."""

from cto.adapters.kwok.provider import Kwok

__all__ = [
    "Kwok",
]
