"""The settings of a kind cluster: data in, data out."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cto.adapters.docker import LOOPBACK
from cto.ports import INGRESS_NODE_PORT

# The only folder where kind's node image lets containerd look for mirrors; newer node images have
# it set: https://kind.sigs.k8s.io/docs/user/local-registry/
_MIRRORS = """\
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/etc/containerd/certs.d"
"""
# Unpacking keeps one core busy, and a platform begins with a dozen images. A layer that two of them
# share is fetched once. Three is also how many layers of one image containerd fetches at once.
PULLS = 3
# And a certificate of the cluster's authority, in place of one that the kubelet signs itself, which
# whoever reads its metrics cannot trust (adapters.kind.certificates).
_KUBELET = f"""\
kind: KubeletConfiguration
serializeImagePulls: false
maxParallelImagePulls: {PULLS}
serverTLSBootstrap: true
"""
_OLD_CGROUPS = "kind: KubeletConfiguration\nfailCgroupV1: false\n"
# Keeps pods off new nodes until they were told where images and names come from: a pod that starts
# before asks the wrong ones. kind itself takes the control plane's own taint away, and wants to
# find it: pkg/cluster/internal/create/actions/kubeadminit/init.go
HOLD = "cto.dev/not-yet"
_HELD = """\
kind: InitConfiguration
nodeRegistration:
  taints:
    - {key: node-role.kubernetes.io/control-plane, effect: NoSchedule}
    - {key: cto.dev/not-yet, effect: NoSchedule}
"""
_HELD_TOO = """\
kind: JoinConfiguration
nodeRegistration:
  taints:
    - {key: cto.dev/not-yet, effect: NoSchedule}
"""
# Kubernetes' and kind's own choices first; then others that are seldom used.
_PODS = ("10.244.0.0/16", "10.245.0.0/16", "10.144.0.0/16", "172.30.0.0/16", "192.168.192.0/18")
_SERVICES = ("10.96.0.0/16", "10.97.0.0/16", "10.112.0.0/16", "172.29.0.0/16", "192.168.176.0/20")
# From here on a kubelet does not start on cgroup v1 unless it is told to:
# https://github.com/kubernetes/enhancements/issues/5573
CGROUP_V2_FROM = (1, 35)
# For an ingress of the user's own: the catalog has none. 80 goes where GitHub's webhooks go.
_INGRESS = {INGRESS_NODE_PORT: 443}
_LAST_PORT = 65535
_PRIVILEGED = 1024


@dataclass(frozen=True)
class Ranges:
    """Address ranges in CIDR form."""

    pods: str
    services: str


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a cluster is made like.

    Attributes:
        ports: Port of every node -> port of the loopback address of Docker's host.
        old_cgroups: Let kubelets run on cgroup v1.
    """

    cluster: str
    nodes: int
    profile: str
    ports: Mapping[int, int]
    ranges: Ranges
    old_cgroups: bool = False


def configuration(shape: Shape) -> dict[str, Any]:
    """Return a configuration for `kind create cluster`: one control plane, which takes pods too."""
    labels = {"cto": "true", "profile": shape.profile}
    mappings = [
        {"containerPort": node, "hostPort": host, "listenAddress": LOOPBACK, "protocol": "TCP"}
        for node, host in sorted(shape.ports.items())
    ]
    first = {"role": "control-plane", "labels": labels, "extraPortMappings": mappings}
    others = [{"role": "worker", "labels": labels} for _ in range(shape.nodes - 1)]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "networking": {
            "apiServerAddress": LOOPBACK,
            "podSubnet": shape.ranges.pods,
            "serviceSubnet": shape.ranges.services,
        },
        "containerdConfigPatches": [_MIRRORS],
        "kubeadmConfigPatches": [
            _HELD,
            _HELD_TOO,
            _KUBELET,
            *([_OLD_CGROUPS] if shape.old_cgroups else []),
        ],
        "nodes": [first, *others],
    }


def node_ports(catalog: Mapping[int, int]) -> dict[int, int]:
    """Return port of every node -> wanted port of the host, the same for every profile."""
    return {**catalog, **_INGRESS}


def placed(wanted: Mapping[int, int], taken: Iterable[int]) -> dict[int, int]:
    """Move ports that are taken to the next free one, by a rule that can be remembered.

    Privileged ports move up by 8000 first: 80 becomes 8080 or what follows it.
    """
    busy = set(taken)
    wishes = {host for host in wanted.values() if host not in busy}
    result: dict[int, int] = {}
    for node, host in sorted(wanted.items()):
        if host in wishes:
            result[node] = host
            continue
        begin = host + 8000 if host < _PRIVILEGED else host + 1
        reserved = busy | wishes | set(result.values()) | set(wanted.values())
        result[node] = next(p for p in range(begin, _LAST_PORT) if p not in reserved)
    return result


def ranges(taken: Sequence[str]) -> Ranges | None:
    """Return ranges for pods and services that clash with none of the taken ones, if there are."""
    used = [ipaddress.ip_network(one, strict=False) for one in taken]
    pods = next(_free(_PODS, used), None)
    services = next(_free(_SERVICES, used), None)
    return Ranges(pods, services) if pods and services else None


def _free(
    candidates: Sequence[str], used: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> Iterator[str]:
    for text in candidates:
        network = ipaddress.IPv4Network(text)
        if not any(
            isinstance(other, ipaddress.IPv4Network) and network.overlaps(other) for other in used
        ):
            yield text


def needs_old_cgroups(kube_version: str, cgroup_version: int) -> bool:
    """Tell whether kubelets of that version have to be told to run on cgroup v1."""
    return cgroup_version == 1 and minor(kube_version) >= CGROUP_V2_FROM


def minor(kube_version: str) -> tuple[int, int]:
    """Return (1, 34) for v1.34.4, (0, 0) for what is no version."""
    words = kube_version.removeprefix("v").split(".")
    if len(words) > 1 and words[0].isdecimal() and words[1].isdecimal():
        return int(words[0]), int(words[1])
    return 0, 0


def without_proxy(
    environ: Mapping[str, str],
    hosts: Sequence[str],
    injected: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """Return NO_PROXY with these hosts and ranges too; {} where no proxy is set.

    Args:
        environ: Of the program that asks.
        hosts: And ranges, that are asked without a proxy.
        injected: What docker puts into every container besides. Who is told a NO_PROXY gets none of
            it, so what it holds is kept: https://github.com/kubernetes-sigs/kind/issues/1175
    """
    if not any(environ.get(name) or injected.get(name) for name in _PROXIES):
        return {}
    known = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    words = f"{known},{injected.get('NO_PROXY', '')}".split(",")
    there = [word.strip() for word in words if word.strip()]
    text = ",".join(dict.fromkeys((*there, *hosts)))
    return {"NO_PROXY": text, "no_proxy": text}


_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
