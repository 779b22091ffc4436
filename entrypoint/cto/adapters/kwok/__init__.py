"""Clusters whose nodes kwok simulates, with a real API server."""

from cto.adapters.building import ProviderParts
from cto.adapters.kwok.provider import Kwok

__all__ = ["Kwok", "build"]


def build(parts: ProviderParts) -> Kwok:
    """Return the provider of simulated clusters."""
    kubeconfig, *beside = parts.kubeconfigs
    return Kwok(
        runner=parts.runner,
        tools=parts.tools,
        clock=parts.clock,
        host=parts.host,
        connect=parts.connect,
        manifests=parts.manifests,
        folder=parts.state,
        shared=kubeconfig,
        beside=beside,
        environ=parts.env,
    )
