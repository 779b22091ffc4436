"""Makes NetworkPolicies of what components say of their network: closed but for openings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cto.catalog import ANYWHERE, Component, Opening, Pods
from cto.objects import Manifest

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
