"""Where a contract test works: a cluster, fake or real, and a fresh namespace in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cto.objects import Manifest
from cto.ports import Cluster, Releases


@dataclass
class Place:
    """`releases` makes a Helm that works on the cluster."""

    cluster: Cluster
    namespace: str
    releases: Callable[[], Releases]

    def config_map(self, name: str, data: dict[str, str] | None = None) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": data or {"k": "v"},
        }

    def names(self, found: Sequence[Manifest]) -> list[str]:
        """Return the names of objects, without the one that controllers put everywhere."""
        names = (item["metadata"]["name"] for item in found)
        return sorted(name for name in names if name != "kube-root-ca.crt")
