"""The nodes of a kind cluster as its API server sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event as Flag

from cto.adapters.kind.config import HOLD
from cto.errors import ApiError, ToolError
from cto.objects import Manifest, labels_of
from cto.ports import Clock, Cluster

# After a restart of a node its API answers within seconds; on a busy machine within a minute.
_PATIENCE_S = 180.0
_POLL_S = 0.2
_NOT_YET = ("node.kubernetes.io/not-ready", HOLD)
# Run on the control plane. It fails where nothing is held any more, and `wait` sees what still is.
LET_GO = (
    *("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf"),
    *("taint", "nodes", "--all", f"{HOLD}-"),
)


def wait(
    cluster: Cluster,
    clock: Clock,
    name: str,
    progress: Callable[[str], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Wait until the API answers and every node takes pods.

    A node that does not is no reason to stop, as long as another one does. `meanwhile` is called
    each time that the API has answered.

    Raises:
        ToolError: CTO-1504, the API does not answer, or no node takes pods.
    """
    end = clock.monotonic() + _PATIENCE_S
    told = False
    while True:
        nodes, error = _look(cluster, meanwhile)
        missing = [node["metadata"]["name"] for node in nodes if not _takes_pods(node)]
        if nodes and not missing:
            return
        if clock.monotonic() >= end:
            break
        if nodes and not told:
            told = True
            progress(f"Waiting for {', '.join(missing)} to be ready")
        clock.wait(Flag(), _POLL_S)
    if len(missing) < len(nodes):
        progress(f"{', '.join(missing)} did not become ready: going on without")
        return
    raise _failed(name, missing, error)


def label(cluster: Cluster, profile: str) -> None:
    """Let the nodes say which profile they carry now."""
    for node in cluster.list_metadata("v1", "Node"):
        if labels_of(node).get("profile") != profile:
            labels = {"cto": "true", "profile": profile}
            meta = {"name": node["metadata"]["name"], "labels": labels}
            cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": meta})


def _look(cluster: Cluster, meanwhile: Callable[[], None]) -> tuple[Sequence[Manifest], str]:
    try:
        nodes = cluster.list("v1", "Node")
        meanwhile()
    except ApiError as error:
        return (), str(error)
    return nodes, ""


def _takes_pods(node: Manifest) -> bool:
    """Tell whether a node is ready: a moment later a controller takes its first taint away."""
    conditions = node.get("status", {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    taints = node.get("spec", {}).get("taints") or ()
    return ready and not any(taint["key"] in _NOT_YET for taint in taints)


def _failed(name: str, missing: Sequence[str], error: str) -> ToolError:
    what = f"{', '.join(missing)} did not become ready" if missing else "its API does not answer"
    return ToolError(
        "CTO-1504",
        f"the cluster {name} did not come up in {_PATIENCE_S:.0f} s: {what}",
        details=error,
        hint=f"docker logs --tail 50 {name}-control-plane\n"
        f"docker exec {name}-control-plane journalctl -u kubelet --no-pager -n 50",
    )
