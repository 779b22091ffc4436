"""The way in by names below platform.domain: an Ingress for each component, and its certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cto.catalog import CERTIFICATE, Component
from cto.config.model import Config
from cto.config.sections import IngressType
from cto.errors import ConfigError
from cto.objects import Manifest, ObjectRef
from cto.plan.observed import Observed

AUTHORITY = ObjectRef("v1", "Secret", "cto-system", "ingress-authority")
"""What signs where nobody else does: beside the installer's memory, where no program looks."""
RENEWED = "renewed before its end"


def is_own(config: Mapping[str, Any]) -> bool:
    """Tell from a configuration (`Config.public`) whether the platform's own authority signs."""
    platform, ingress = config.get("platform") or {}, config.get("ingress") or {}
    given = ingress.get("issuer") or ingress.get("private_key")
    return platform.get("ingress_type") == IngressType.INGRESS and not given


def is_set(path: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a field has a value in a configuration (`Config.public`), by its path."""
    value: Any = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return bool(value)


def host_of(component: Component, config: Config) -> str:
    """Return the component's name below the domain, '' where it has none."""
    access, platform = component.access, config.platform
    if platform.ingress_type is not IngressType.INGRESS or not (access and access.subdomain):
        return ""
    if access.when and not is_set(access.when, config.public()):
        return ""
    return f"{access.subdomain}.{platform.domain}"


def brings_class(component: Component, config: Config, observed: Observed | None) -> bool:
    """Tell whether a component is there to serve the Ingress objects.

    It stays once it is there; a mode that the configuration gives it says so in any case.
    """
    name, wanted = component.ingress_class, config.ingress.class_name
    if not name or config.platform.ingress_type is not IngressType.INGRESS:
        return False
    settings = config.components.get(component.name)
    if settings and "mode" in settings.model_fields_set:
        return True
    others = observed.ingress_classes if observed else {}
    if wanted:
        return wanted == name and name not in others
    record = observed and observed.records.get(f"{component.namespace}/{component.release}")
    return not others or bool(record and record.ours)


def class_of(config: Config, components: Sequence[Component], observed: Observed) -> str:
    """Return the class that Ingress objects name; '' for the cluster's default.

    Raises:
        ConfigError: CTO-1320, there are several, and none is the default.
    """
    others = observed.ingress_classes
    brought = (component.ingress_class for component in components)
    named = config.ingress.class_name or next(filter(None, brought), "")
    if named or config.platform.ingress_type is not IngressType.INGRESS or any(others.values()):
        return named
    if len(others) > 1:
        text = f"the cluster has ingress classes {', '.join(sorted(others))}, and no default one"
        raise ConfigError("CTO-1320", text, hint="Name one: ingress.class_name.")
    return next(iter(others), "")


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
