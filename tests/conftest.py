"""What several kinds of tests share: an API server without nodes, from the lab's programs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.ports import Access

_TOOLS = ("etcd", "helm", "kube-apiserver", "kube-controller-manager", "kubectl", "kwok", "kwokctl")
_SETTING = {
    "etcdBinary": "etcd",
    "kubeApiserverBinary": "kube-apiserver",
    "kubeControllerManagerBinary": "kube-controller-manager",
    "kwokControllerBinary": "kwok",
}


@pytest.fixture(scope="session")
def lab_tools() -> Path:
    """Return the folder with the lab's programs; skip, and say why, if one is missing."""
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    missing = [name for name in _TOOLS if not (cache / "tools" / name).exists()]
    if missing:
        pytest.skip(f"not in {cache / 'tools'}: {', '.join(missing)} (make test prepares them)")
    return cache / "tools"


@pytest.fixture(scope="session")
def lab_access(lab_tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """Run an API server with its controllers, without nodes."""
    folder = tmp_path_factory.mktemp("kwok")
    name = f"lab-{os.getpid()}"
    options = {key: str(lab_tools / program) for key, program in _SETTING.items()}
    config = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": {"runtime": "binary", "bindAddress": "127.0.0.1", **options},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    version = subprocess.check_output([lab_tools / "kube-apiserver", "--version"], text=True)
    env = {
        **os.environ,
        "KWOK_WORKDIR": str(folder / "work"),
        "KWOK_KUBE_VERSION": version.split()[-1],
        "KWOK_KUBECTL_BINARY": str(lab_tools / "kubectl"),
    }
    kubeconfig = folder / "kubeconfig"
    kwokctl: list[str | Path] = [lab_tools / "kwokctl", "--name", name]
    create: list[str | Path] = [
        "create",
        "cluster",
        "--config",
        folder / "config.yaml",
        "--wait",
        "60s",
    ]
    create += ["--kubeconfig", kubeconfig, "--disable", "kube-scheduler"]
    try:
        subprocess.run([*kwokctl, *create], env=env, check=True, capture_output=True, timeout=120)
        yield Access(kubeconfig, f"kwok-{name}")
    finally:
        delete: list[str | Path] = [*kwokctl, "delete", "cluster", "--kubeconfig", kubeconfig]
        subprocess.run(delete, env=env, check=True, capture_output=True, timeout=60)
