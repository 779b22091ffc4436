"""Lets a Deployment change from rolling updates to Recreate.

The API server fills `rollingUpdate` in when nobody gives it, and refuses it beside Recreate. A
server-side apply leaves a field alone that it never set, so such an upgrade is refused:
"spec.strategy.rollingUpdate: Forbidden" (https://github.com/kubernetes/kubernetes/issues/24198).
Charts that take Recreate for one replica and rolling updates for two meet it when high
availability is switched off.
"""

from __future__ import annotations

from collections.abc import Iterable

from cto.objects import Manifest, ref_of
from cto.ports import Cluster

_RECREATE = "Recreate"


def prepare(cluster: Cluster, wanted: Iterable[Manifest], namespace: str) -> None:
    """Switch living Deployments to Recreate where they shall have it; no pod is touched by that."""
    for manifest in wanted:
        if manifest["kind"] != "Deployment" or _strategy(manifest) != _RECREATE:
            continue
        live = cluster.get(ref_of(manifest, default_namespace=namespace))
        if live is not None and _strategy(live) != _RECREATE:
            spec = {**live["spec"], "strategy": {"type": _RECREATE}}
            cluster.update({**live, "spec": spec})


def _strategy(manifest: Manifest) -> str:
    return str(manifest["spec"].get("strategy", {}).get("type", ""))
