"""Whether anybody can answer at a Service."""

from __future__ import annotations

from cto.objects import ObjectRef
from cto.ports import Cluster


def silence(cluster: Cluster, namespace: str, name: str) -> str:
    """Return why nobody can answer at a Service, '' if somebody may."""
    service = cluster.get(ObjectRef("v1", "Service", namespace, name))
    if service is None:
        return f"its Service {name} in {namespace} is not there"
    if service.get("spec", {}).get("type") == "ExternalName":
        return ""
    slices = cluster.list(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace=namespace,
        labels=f"kubernetes.io/service-name={name}",
    )
    endpoints = [one for item in slices for one in item.get("endpoints") or ()]
    if any((one.get("conditions") or {}).get("ready", True) for one in endpoints):
        return ""
    return f"its Service {name} in {namespace} has no ready endpoints"
