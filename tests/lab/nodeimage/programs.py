"""The programs of the node image, and kind: Go modules that the go.sum files beside them fix.

Those of Kubernetes come from the module that the kwok clusters' API server comes from, so that
both share one build cache; that server itself, etcd and kubectl are taken as they are.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab.tools import build

KUBERNETES = build.KUBERNETES
CONTAINERD = "2.2.9"
# What kubeadm of this Kubernetes asks for.
ETCD_TAG = "3.6.5-0"
COREDNS = "1.12.1"
PAUSE_TAG = "3.10.1"
CRICTL = "1.34.0"
PROVISIONER = "0.0.30"
KIND = "0.33.0"

# Programs that the kwok clusters use as well.
SHARED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

_CONTAINERD = "github.com/containerd/containerd/v2"


@dataclass(frozen=True)
class NodeTool(build.GoTool):
    """A program of a module in this folder; what the module has of its own counts as well."""

    @property
    def recipe(self) -> str:
        module = build.HERE / self.folder
        sources = [path.read_text() for path in sorted(module.rglob("*.go"))]
        return sha256("\0".join([super().recipe, *sources]).encode()).hexdigest()


def _kubernetes(name: str, seconds: int, size_mib: int, cache_mib: int) -> build.GoTool:
    return build.GoTool(
        name=name,
        version=KUBERNETES,
        folder="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        ldflags=build.KUBERNETES_FLAGS,
        seconds=seconds,
        size_mib=size_mib,
        cache_mib=cache_mib,
    )


def _containerd(name: str, seconds: int, size_mib: int, cache_mib: int) -> NodeTool:
    return NodeTool(
        name=name,
        version=CONTAINERD,
        folder="../nodeimage/containerd",
        package=f"{_CONTAINERD}/cmd/{name}",
        ldflags=f"-X {_CONTAINERD}/version.Version=v{CONTAINERD}",
        tags="no_aufs no_btrfs no_devmapper no_zfs",
        seconds=seconds,
        size_mib=size_mib,
        cache_mib=cache_mib,
    )


def _own(name: str) -> NodeTool:
    return NodeTool(
        name=name,
        version="1",
        folder="../nodeimage/own",
        package=f"./{name}",
        seconds=5,
        size_mib=5,
        cache_mib=10,
    )


PROGRAMS: tuple[build.GoTool, ...] = (
    _own("pause"),
    _own("nodedns"),
    _own("podnet"),
    _kubernetes("kubelet", 45, 60, 400),
    _kubernetes("kubeadm", 20, 72, 100),
    _kubernetes("kube-proxy", 30, 45, 100),
    _containerd("containerd", 60, 45, 700),
    _containerd("containerd-shim-runc-v2", 10, 15, 20),
    _containerd("ctr", 10, 30, 50),
    NodeTool(
        name="coredns",
        version=COREDNS,
        folder="../nodeimage/coredns",
        package=".",
        seconds=60,
        size_mib=50,
        cache_mib=700,
    ),
    NodeTool(
        name="local-path-provisioner",
        version=PROVISIONER,
        folder="../nodeimage/provisioner",
        package="github.com/rancher/local-path-provisioner",
        ldflags=f"-X main.VERSION=v{PROVISIONER}",
        seconds=40,
        size_mib=45,
        cache_mib=500,
    ),
    NodeTool(
        name="crictl",
        version=CRICTL,
        folder="../nodeimage/crictl",
        package="sigs.k8s.io/cri-tools/cmd/crictl",
        ldflags=f"-X sigs.k8s.io/cri-tools/pkg/version.Version=v{CRICTL}",
        seconds=40,
        size_mib=35,
        cache_mib=300,
    ),
)

# Beside the tools of the kwok clusters: the installer takes both from one folder.
KIND_TOOL = build.GoTool(
    name="kind",
    version=KIND,
    folder="kind",
    package="sigs.k8s.io/kind",
    seconds=20,
    size_mib=8,
    cache_mib=150,
)


def folder() -> Path:
    return build.cache_dir() / "node" / "programs"


def tools_folder() -> Path:
    return build.cache_dir() / "tools"


def path(name: str) -> Path:
    return (tools_folder() if name in SHARED else folder()) / name


def missing() -> list[build.Tool]:
    return [tool for tool in PROGRAMS if not build.is_there(tool, folder())]


def recipes() -> list[str]:
    """List what decides the content of every program in the image."""
    shared = [tool.recipe for tool in build.tools() if tool.name in SHARED]
    return [*shared, *(tool.recipe for tool in PROGRAMS)]


def make() -> None:
    """Build what is not there.

    Raises:
        BuildError: The machine lacks something, or Go refuses.
    """
    build.make_all(missing, folder())


def kind_missing() -> list[build.Tool]:
    return [] if build.is_there(KIND_TOOL, tools_folder()) else [KIND_TOOL]


def make_kind() -> None:
    build.make_all(kind_missing, tools_folder())


def copy(name: str, to: Path) -> None:
    """Copy a program to a file in a tree."""
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path(name), to)
    to.chmod(0o755)
