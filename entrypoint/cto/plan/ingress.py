"""The way in by names below platform.domain: an Ingress for each component, and its certificate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cto.catalog import CERTIFICATE, Component
from cto.config.model import Config
from cto.config.sections import IngressType
from cto.objects import Manifest, ObjectRef

AUTHORITY = ObjectRef("v1", "Secret", "cto-system", "ingress-authority")
"""What signs where nobody else does: beside the installer's memory, where no program looks."""
RENEWED = "renewed before its end"


def is_own(config: Mapping[str, Any]) -> bool:
    """Tell from a configuration (`Config.public`) whether the platform's own authority signs."""
    platform, ingress = config.get("platform") or {}, config.get("ingress") or {}
    given = ingress.get("issuer") or ingress.get("private_key")
    return platform.get("ingress_type") == IngressType.INGRESS and not given


def host_of(component: Component, config: Config) -> str:
    """Return the component's name below the domain, '' where it has none."""
    access, platform = component.access, config.platform
    if platform.ingress_type is not IngressType.INGRESS or not (access and access.subdomain):
        return ""
    return f"{access.subdomain}.{platform.domain}"


def ways(component: Component, config: Config, class_name: str) -> tuple[Manifest, ...]:
    """Return the component's Ingress, by the name that its Service has."""
    host, access = host_of(component, config), component.access
    if not host or access is None:
        return ()
    annotations = dict(access.annotations)
    if config.ingress.issuer and config.ingress.private_key is None:
        annotations["cert-manager.io/cluster-issuer"] = config.ingress.issuer
    backend = {"service": {"name": access.service, "port": {"number": access.port}}}
    kind = "Exact" if access.path else "Prefix"
    path = {"path": access.path or "/", "pathType": kind, "backend": backend}
    spec = {
        "tls": [{"secretName": CERTIFICATE.name, "hosts": [host]}],
        "rules": [{"host": host, "http": {"paths": [path]}}],
    }
    manifest = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": access.service,
            "namespace": component.namespace,
            "annotations": annotations,
        },
        "spec": {**({"ingressClassName": class_name} if class_name else {}), **spec},
    }
    return (manifest,)
