"""What nobody answers, and so keeps a namespace from going: often something of somebody else's.

Kubernetes empties a namespace of every kind that there is, so one kind that nobody can list holds
all of them: https://github.com/kubernetes/kubernetes/issues/60807. It says so in the namespace's
conditions after five seconds, and where a webhook is away after half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cto.engine.evidence import one_line
from cto.engine.readiness import conditions_of
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
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


_API_SERVICE = ("apiregistration.k8s.io/v1", "APIService")
_DEFINITION = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def obstacles(cluster: Cluster) -> tuple[str, ...]:
    """Return the APIs and the conversions of whomever that nobody answers.

    What may not be looked at is left out: this is only to tell why a wait takes long.
    """
    found: list[str] = []
    for look in (_unavailable, _unconverted):
        with suppress(ApiError):
            found += look(cluster)
    return tuple(found)


def _unavailable(cluster: Cluster) -> Iterator[str]:
    for item in cluster.list(*_API_SERVICE):
        condition = conditions_of(item).get("Available", {})
        if condition.get("status") == "False":
            message = one_line(condition.get("message", ""))
            yield f"APIService {item['metadata']['name']} is not available: {message}"


def _unconverted(cluster: Cluster) -> Iterator[str]:
    found = {
        item["metadata"]["name"]: place
        # A definition may be a megabyte: none is kept.
        for item in cluster.scan(*_DEFINITION)
        if (place := _converter(item))
    }
    silent = {place: silence(cluster, *place) for place in set(found.values())}
    for name, place in found.items():
        if silent[place]:
            yield f"CustomResourceDefinition {name} cannot be converted: {silent[place]}"


def _converter(definition: Manifest) -> tuple[str, str] | None:
    """Return namespace and name of the Service that converts its objects."""
    conversion = definition.get("spec", {}).get("conversion") or {}
    client = (conversion.get("webhook") or {}).get("clientConfig") or {}
    service = client.get("service")
    return (service["namespace"], service["name"]) if service else None
