"""Where the user interfaces are, and how to log in: for people and for programs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from types import MappingProxyType
from typing import Any

from cto.catalog import Component, ComponentAccess
from cto.config.sections import IngressType
from cto.plan.desired import port_suffix
from cto.plan.network import is_own, is_set
from cto.plan.observed import State
from cto.ports import INGRESS_NODE_PORT, Reach

_PRIVILEGED = 1024
NOTHING_RUNS = "There is nothing to log in to: no program runs on simulated nodes."
IsFree = Callable[[int], bool]
"""Tells whether nobody listens on a port of the user's own machine."""


def adapted(reach: Reach, config: Mapping[str, Any]) -> Reach:
    """Return the way to a cluster as the platform's configuration (`Config.public`) uses it."""
    platform = config.get("platform")
    platform = platform if isinstance(platform, Mapping) else {}
    kind = platform.get("ingress_type")
    if kind == IngressType.INGRESS:
        return replace(reach, node_ports=False, domain=str(platform.get("domain") or ""))
    return replace(reach, node_ports=False) if kind == IngressType.NONE else reach


def way(reach: Reach, state: State) -> Reach:
    """Return the way to a platform that is installed.

    Somebody who names our cluster by its context knows nothing of its ports; it does.
    """
    return adapted(replace(reach, ports=reach.ports or state.ports), state.config)


def installed(components: Iterable[Component], state: State) -> tuple[Component, ...]:
    """Return the components that are installed, and that users can go to."""
    return reachable((c for c in components if c.name in state.releases), state.config)


def reachable(components: Iterable[Component], config: Mapping[str, Any]) -> tuple[Component, ...]:
    """Return the components that users can go to."""
    found = [(component, component.access) for component in components]
    return tuple(
        component
        for component, access in found
        if access and (not access.when or is_set(access.when, config))
    )


def access_data(components: Sequence[Component], reach: Reach) -> list[dict[str, Any]]:
    return [
        {
            "component": component.name,
            "namespace": component.namespace,
            "url": url_of(access, reach),
        }
        | access.model_dump(exclude={"annotations", "when"})
        for component in components
        if (access := component.access)
    ]


def access_lines(
    components: Sequence[Component],
    reach: Reach,
    *,
    is_free: IsFree | None = lambda _: True,
    log_in: bool = True,
    answers: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Return how to reach the user interfaces and how to log in.

    `is_free` is None where the user's machine is not the one that we run on; `answers` is what
    components say to whoever asks now.
    """
    lines: list[str] = []
    taken = set(reach.ports.values())
    usual = {c.access.host_port for c in components if c.access}
    for component in components:
        access = component.access
        if access is None:
            continue
        if url := url_of(access, reach):
            lines.append(f"{component.title}: {url}")
        else:
            local = _local(access, taken | (usual - {access.host_port}), is_free)
            taken.add(local)
            lines.append(f"{component.title}: http://localhost:{local}{access.path} after")
            forward = f"port-forward svc/{access.service} {local}:{access.port}"
            lines.append(f"  {kubectl_line(reach)} -n {component.namespace} {forward}")
        if log_in:
            lines += _log_in(component, access, reach)
        if answer := answers.get(component.name):
            lines.append(f"  {answer}")
    if is_free is None and any("port-forward" in line for line in lines):
        lines.append("A number before a colon that is taken on your machine may be any other.")
    return lines


def trust_lines(config: Mapping[str, Any]) -> list[str]:
    """Return what browsers have to be told, where the platform's own authority signs."""
    told = "Browsers trust these addresses once they have the certificate of `cto access --ca`."
    return [told] if is_own(config) else []


def _log_in(component: Component, access: ComponentAccess, reach: Reach) -> list[str]:
    kubectl = kubectl_line(reach)
    if access.user and access.secret:
        name, _, key = access.secret.partition("/")
        jsonpath = "{.data." + key.replace(".", "\\.") + "}"
        read = f"get secret {name} -o jsonpath='{jsonpath}' | base64 -d"
        return [
            f"  log in as {access.user}; the password:",
            f"  {kubectl} -n {component.namespace} {read}",
        ]
    if access.command:
        return [
            f"  log in with a token: {access.command.replace('kubectl ', f'{kubectl} ')}",
        ]
    return []


def kubectl_line(reach: Reach) -> str:
    """Return how kubectl begins to work on that cluster, to be pasted into a shell."""
    return f"kubectl{kubeconfig_option(reach)}{context_option(reach)}"


def context_option(reach: Reach, option: str = "--context") -> str:
    """Return ` --context NAME`, '' where there is none to name."""
    return f" {option} {shlex.quote(reach.context)}" if reach.context else ""


def kubeconfig_option(reach: Reach) -> str:
    """Return ` --kubeconfig FILE`, '' where it is found without."""
    return f" --kubeconfig {shlex.quote(str(reach.kubeconfig))}" if reach.kubeconfig else ""


def url_of(access: ComponentAccess, reach: Reach) -> str:
    """Return its address under the domain or on the user's machine; '' if it has none."""
    if reach.domain and access.subdomain:
        host = f"{access.subdomain}.{reach.domain}"
        https = port_suffix(reach.ports.get(INGRESS_NODE_PORT, 443), 443)
        return f"https://{host}{https}{access.path}"
    port = reach.ports.get(access.node_port or 0) if reach.node_ports else None
    return f"http://localhost{port_suffix(port, 80)}{access.path}" if port else ""


def _local(access: ComponentAccess, taken: Container[int | None], is_free: IsFree | None) -> int:
    """A port that needs no privileges, and that nothing else is at, as far as that is known.

    The usual one comes first: it is what the program itself takes for its address.
    """
    usual = access.host_port or access.port
    first = usual if usual >= _PRIVILEGED else 8000 + usual
    free = is_free or (lambda _: True)
    return next(port for port in count(first) if port not in taken and free(port))
