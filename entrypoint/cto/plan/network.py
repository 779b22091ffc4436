"""What reaches components: closed NetworkPolicies with openings, Ingresses and certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cto.catalog import ANYWHERE, CERTIFICATE, Component, Opening, Pods
from cto.config.model import Config
from cto.config.sections import IngressType
from cto.errors import ConfigError
from cto.objects import Manifest, ObjectRef
from cto.plan.observed import Observed

if TYPE_CHECKING:
    from cto.render import Renderer


# Where API servers listen. Most networks look at a connection once the Service's port has become
# the server's own: 6443, 8443 of minikube, 16443 of MicroK8s.
_API_PORTS = (443, 6443, 8443, 16443)
# 5353 is what OpenShift's name servers listen on behind 53. They may be on the node, so anywhere.
_NAMES = {
    "ports": [
        {"protocol": protocol, "port": port} for port in (53, 5353) for protocol in ("UDP", "TCP")
    ]
}
# All but private, shared (RFC 6598) and link-local addresses: those of pods, Services, nodes and of
# clouds' metadata.
_INTERNET = [
    {
        "cidr": "0.0.0.0/0",
        "except": [
            "10.0.0.0/8",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
        ],
    },
    {"cidr": "::/0", "except": ["fc00::/7", "fe80::/10"]},
]
AUTHORITY = ObjectRef("v1", "Secret", "cto-system", "ingress-authority")
"""What signs where nobody else does: beside the installer's memory, where no program looks."""
RENEWED = "renewed before its end"


def policies(
    component: Component,
    managed: Sequence[Component],
    external: Sequence[Component],
    renderer: Renderer,
    networks: Sequence[str] = (),
) -> tuple[Manifest, ...]:
    """Return what closes a component's namespace, and opens what its pods need.

    Where the pods of components are that are the users' own (`external`) nobody knows: they may be
    anywhere. `networks` are those of the configuration for agents.
    """
    if not component.network:
        return ()
    rules = _Rules(component, managed, external, renderer, networks)
    closed = _policy(component, component.name, {"podSelector": {}})
    return (closed, *(rules.policy(name, pods) for name, pods in component.network.items()))


class _Rules:
    def __init__(
        self,
        component: Component,
        managed: Sequence[Component],
        external: Sequence[Component],
        renderer: Renderer,
        networks: Sequence[str],
    ) -> None:
        self._component = component
        self._managed = {one.name: one for one in managed}
        self._external = {one.name: one for one in external}
        self._renderer = renderer
        self._blocks: dict[str, list[dict[str, Any]]] = {
            "internet": _INTERNET,
            "agent_networks": [{"cidr": c} for c in networks],
        }

    def policy(self, name: str, pods: Pods) -> Manifest:
        free = any(ANYWHERE in one.peers and not one.ports for one in pods.out)
        egress = [_NAMES, *self._outside(pods), *self._inside(name)]
        spec = {
            "podSelector": _selector(pods),
            "ingress": [*self._ingress(pods)],
            "egress": [{}] if free else egress,
        }
        return _policy(self._component, f"{self._component.name}-{name}", spec)

    def _ingress(self, pods: Pods) -> Iterator[dict[str, Any]]:
        for opening in pods.in_:
            yield from self._rule(self._component, opening, "from", self._sources(opening))

    def _sources(self, opening: Opening) -> list[dict[str, Any]] | None:
        """Return the peers, None for anywhere."""
        found = []
        for peer in opening.peers:
            owner, _, group = f"{self._component.name}/{peer}".rpartition("/")
            owner = owner.rpartition("/")[2]
            if peer == ANYWHERE or owner in self._external:
                return None
            if owner in self._managed:
                found.append(_peer(self._managed[owner], group))
        return found

    def _outside(self, pods: Pods) -> Iterator[dict[str, Any]]:
        for opening in pods.out:
            found = self._blocks.get(opening.peers[0])
            blocks = None if found is None else [{"ipBlock": block} for block in found]
            yield from self._rule(self._component, opening, "to", blocks)

    def _inside(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the ways to pods that let these in."""
        for other in (*self._managed.values(), *self._external.values()):
            me = {f"{self._component.name}/{name}"}
            if other.name == self._component.name:
                me.add(name)
            for group, pods in other.network.items():
                for opening in pods.in_:
                    if me.intersection(opening.peers):
                        known = other.name in self._managed
                        yield from self._rule(
                            other, opening, "to", [_peer(other, group)] if known else None
                        )

    def _rule(
        self, owner: Component, opening: Opening, side: str, peers: list[dict[str, Any]] | None
    ) -> Iterator[dict[str, Any]]:
        ports = [self._number(owner, port) for port in opening.ports]
        ports += _API_PORTS if "api" in opening.peers else ()
        if (opening.ports and not any(ports)) or peers == []:
            return
        rule: dict[str, Any] = {side: peers} if peers else {}
        if numbers := [port for port in ports if port]:
            rule["ports"] = [{"protocol": "TCP", "port": port} for port in numbers]
        yield rule

    def _number(self, owner: Component, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return self._renderer.number(owner, "network", port)


def _policy(component: Component, name: str, spec: Mapping[str, Any]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        # Argo CD's chart has policies that are called like its programs.
        "metadata": {"name": f"cto-{name}", "namespace": component.namespace},
        "spec": {"policyTypes": ["Ingress", "Egress"], **spec},
    }


def _selector(pods: Pods) -> dict[str, Any]:
    labels = {key: value for key, value in pods.pods.items() if value != "*"}
    there = [{"key": key, "operator": "Exists"} for key in pods.pods if key not in labels]
    parts = {"matchLabels": labels, "matchExpressions": there}
    return {key: part for key, part in parts.items() if part}


def _peer(component: Component, group: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": component.namespace}},
        "podSelector": _selector(component.network[group]),
    }


def is_own(config: Mapping[str, Any]) -> bool:
    """Tell from a configuration (`Config.public`) whether the platform's own authority signs."""
    platform, ingress = config.get("platform") or {}, config.get("ingress") or {}
    given = ingress.get("issuer") or ingress.get("private_key")
    return platform.get("ingress_type") == IngressType.INGRESS and not given


def is_set(path: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a field has a value in a configuration (`Config.public`), by its path.

    PATH=VALUE asks for that value.
    """
    path, _, wanted = path.partition("=")
    value: Any = config
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value == wanted if wanted else bool(value)


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
    path = {"path": access.path or "/", "pathType": "Prefix", "backend": backend}
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
