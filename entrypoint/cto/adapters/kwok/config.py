"""The settings of a kwok cluster: data in, data out, but for the search of free ports."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cto.objects import Manifest
from cto.ports import NodeOptions

# What kwokctl calls its daemons -> the tool that each one is.
PROGRAMS = {
    "etcd": "etcd",
    "kube-apiserver": "kube-apiserver",
    "kube-controller-manager": "kube-controller-manager",
    "kube-scheduler": "kube-scheduler",
    "kwok-controller": "kwok",
}
NEEDED_TOOLS = (*PROGRAMS.values(), "kwokctl", "kubectl")

_LOOPBACK = "127.0.0.1"
# Below the kernel's range for outgoing connections (32768 and up): after a reboot the ports of a
# stopped cluster are free again.
_PORTS = range(20000, 30000)
# The API server really dials Services of webhooks and aggregated APIs. In the loopback network
# nothing answers, at once, and nothing leaves the machine.
_SERVICE_RANGE = "127.200.0.0/16"
# For documentation only (RFC 5737). Without it the API server looks for an outer address of the
# machine, and does not start where there is none, as with `docker run --network none`.
_ADVERTISED = "192.0.2.1"
# Exec, Attach and PortForward stay off: kwok would run them on this machine, as this user.
_ENABLED_CRDS = ("Stage", "Logs", "ClusterLogs")


def configuration(
    paths: Mapping[str, Path], kube_version: str, ports: Sequence[int]
) -> dict[str, Any]:
    """Return a KwokctlConfiguration that downloads nothing and listens on loopback only."""
    api, etcd, peer, controllers, scheduler, kwok = ports
    options = {
        "runtime": "binary",
        "kubeVersion": kube_version,
        # Its default is 0.0.0.0, for etcd too, which asks for no password.
        "bindAddress": _LOOPBACK,
        "enableCRDs": list(_ENABLED_CRDS),
        "disableQPSLimits": True,
        "etcdBinary": str(paths["etcd"]),
        "kubeApiserverBinary": str(paths["kube-apiserver"]),
        "kubeControllerManagerBinary": str(paths["kube-controller-manager"]),
        "kubeSchedulerBinary": str(paths["kube-scheduler"]),
        "kwokControllerBinary": str(paths["kwok"]),
        "kubectlBinary": str(paths["kubectl"]),
        "kubeApiserverPort": api,
        "etcdPort": etcd,
        "etcdPeerPort": peer,
        "kubeControllerManagerPort": controllers,
        "kubeSchedulerPort": scheduler,
        "kwokControllerPort": kwok,
    }
    api_server = {
        "name": "kube-apiserver",
        "extraArgs": [
            {"key": "service-cluster-ip-range", "value": _SERVICE_RANGE},
            {"key": "advertise-address", "value": _ADVERTISED},
        ],
    }
    return {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": options,
        "componentsPatches": [api_server],
    }


# Somebody may have added thousands of nodes, for a load test.
OUR_NODES = "cto=true"


def node(name: str, options: NodeOptions) -> Manifest:
    """Return a simulated node that has the profile's whole room."""
    room = {
        "cpu": str(options.cpu),
        "memory": f"{options.memory_gib}Gi",
        "ephemeral-storage": "200Gi",
        "pods": "250",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
            "labels": {
                "cto": "true",
                "profile": options.profile,
                "type": "kwok",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
            },
        },
        "status": {
            "allocatable": room,
            "capacity": room,
            "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux"},
            "phase": "Running",
        },
    }


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports of the loopback address that nobody listens on."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):  # not a secret
        if len(found) == count:
            break
        with socket.socket() as listener:
            try:
                listener.bind((_LOOPBACK, port))
            except OSError:
                continue
        found.append(port)
    return tuple(found)
