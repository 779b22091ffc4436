"""A backup and the way back onto an empty cluster, by the real Velero and the real store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from cto.engine.tasks import RUN
from cto.objects import Manifest, dump_yaml
from fakes.programs import program
from fakes.webserver import free_port

from .bus import waited
from .conftest import CONTEXT, Lab

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "cto-lab", "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-lab"}
# Velero looks every minute for what others have put into the store.
SOON_S = 180.0
TOLD = {
    "type": "Ready",
    "status": "True",
    "reason": "Told",
    "message": "told",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


@dataclass
class Place:
    """An object store, and Velero as its Deployment runs it: by the values that are installed."""

    lab: Lab
    folder: Path
    port: int = field(default_factory=free_port)

    @contextmanager
    def store(self) -> Iterator[None]:
        (self.folder / "data").mkdir()
        env = {
            "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
            "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
            "VGW_PORT": f"127.0.0.1:{self.port}",
            "VGW_HEALTH": "/health",
        }
        argv = [program("versitygw"), "posix", self.folder / "data"]
        with self._running("store", argv, env):
            waited("the store does not answer", self._answers, SOON_S)
            yield

    @contextmanager
    def velero(self, phase: str = "Available") -> Iterator[None]:
        found = json.loads(
            self.lab.kubectl("get", "deployment/velero", "-n", "velero", "-o", "json")
        )
        (container,) = found["spec"]["template"]["spec"]["containers"]
        asked = {one["name"] for one in container["env"]}
        assert KEYS.keys() <= asked
        plugins = self.folder / "plugins"
        plugins.mkdir(exist_ok=True)
        plugin = plugins / "velero-plugin-for-aws"
        plugin.unlink(missing_ok=True)
        plugin.symlink_to(program("velero-plugin-for-aws"))
        cluster = ["--kubeconfig", self.lab.env["KUBECONFIG"], "--kubecontext", CONTEXT]
        own = ["--plugin-dir", plugins, "--metrics-address", f"127.0.0.1:{free_port()}"]
        own += ["--profiler-address", f"127.0.0.1:{free_port()}"]
        argv = [program("velero"), *container["args"], "--namespace=velero", *cluster, *own]
        env = {**KEYS, "VELERO_NAMESPACE": "velero", "HOME": str(self.folder)}
        with self._running("velero", argv, env):
            waited(f"its place is not {phase}", lambda: self._phase() == phase, SOON_S)
            yield

    @contextmanager
    def controller(self) -> Iterator[None]:
        """Run the controller's program, with what the installed one reads."""
        name = "configmap/controller-task-controller-config"
        found = json.loads(self.lab.kubectl("get", name, "-n", "cto", "-o", "json"))
        (self.folder / "config.yaml").write_text(found["data"]["config.yaml"])
        env = {
            "CONTROLLER_CONFIG_PATH": str(self.folder / "config.yaml"),
            "KUBERNETES_NAMESPACE": "cto",
            "PORT": "0",
        }
        with self._running("controller", [sys.executable, "-m", "cto_controller"], env):
            yield

    @contextmanager
    def _running(
        self, name: str, argv: list[Any], env: Mapping[str, str]
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self.folder / f"{name}.log").open("ab") as log:
            made = subprocess.Popen(
                [*map(str, argv)],
                env={**self.lab.env, **env},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield made
            assert made.poll() is None, (self.folder / f"{name}.log").read_text()[-4000:]
        finally:
            made.kill()
            made.wait()

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _phase(self) -> str:
        path = "jsonpath={.status.phase}"
        location = ("backupstoragelocation", "default", "-n", "velero")
        return self.lab.kubectl("get", *location, "-o", path)


def secrets(lab: Lab) -> dict[str, Mapping[str, str]]:
    """Return what the platform's Secrets hold, but for Helm's records."""
    found = json.loads(lab.kubectl("get", "secrets", "-A", "-o", "json"))["items"]
    return {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}": item.get("data", {})
        for item in found
        if not item["type"].startswith(("helm.sh/", "bootstrap."))
    }


def objects() -> Iterator[Manifest]:
    """Yield what people and programs make while the platform is used."""
    for name in ("done", "going"):
        spec = {
            "repositoryUrl": "https://git.example.com/acme/shop",
            "githubApp": "cto-agent-rex",
            "prompt": "Do it.",
        }
        yield made("agents.platform/v1", "CodeRun", name, "cto", spec=spec)
    yield made("v1", "Secret", "github-app-rex", "cto", stringData={"private-key": "planted"})
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    yield made("v1", "PersistentVolumeClaim", "workspace-shop", "cto", spec=claim)
    template = {"entrypoint": "x", "templates": [{"name": "x", "suspend": {}}]}
    yield made("argoproj.io/v1alpha1", "WorkflowTemplate", "mine", "argo", spec=template)
    yield made("argoproj.io/v1alpha1", "Workflow", "over", "argo", spec=template)
    redis = {"clusterSize": 1, "kubernetesConfig": {"image": "docker.io/opstree/redis:v8.0.3"}}
    kind = ("redis.redis.opstreelabs.in/v1beta2", "RedisReplication")
    yield made(*kind, "mine", "databases", spec=redis)


def made(api_version: str, kind: str, name: str, namespace: str, **more: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def backups(lab: Lab) -> list[str]:
    return [one["name"] for one in lab.data("backup", "list")["backups"]]


def phases(lab: Lab) -> str:
    path = "jsonpath={.items[*].status.phase}"
    return lab.kubectl("get", "coderuns", "-n", "cto", "-o", path)


def completed(lab: Lab, kind: str, name: str) -> None:
    """Wait until Velero is done, and see that it found nothing wrong."""

    def has_ended() -> bool:
        found = json.loads(lab.kubectl("get", kind, name, "-n", "velero", "-o", "json"))
        phase = found.get("status", {}).get("phase", "")
        assert phase not in {"Failed", "PartiallyFailed", "FailedValidation"}, found["status"]
        return bool(phase == "Completed")

    waited(f"{kind} {name} does not end", has_ended, SOON_S)


@pytest.fixture
def place(lab: Lab, tmp_path: Path) -> Iterator[Place]:
    for name in ("velero", "velero-plugin-for-aws"):
        program(name)
    made = Place(lab, tmp_path)
    with made.store():
        yield made
    lab.forget()


def test_a_platform_comes_back_on_an_empty_cluster(place: Place, lab: Lab, tmp_path: Path) -> None:
    """Runs and Secrets are there again, nothing begins anew, and nothing is left to repair."""
    config = {
        "features": {"backup": True, "databases": True},
        "databases": {"redis": [{"name": "cache", "replicas": 3}]},
        "providers": {"anthropic": "planted-key"},
        "object_store": {
            "endpoint": f"http://127.0.0.1:{place.port}",
            "bucket": "cto",
            "access_key": KEYS["AWS_ACCESS_KEY_ID"],
            "secret_key": KEYS["AWS_SECRET_ACCESS_KEY"],
        },
    }
    (tmp_path / "cto.yaml").write_text(dump_yaml(config))

    def installed() -> Any:
        return lab.install("minimal", "--config", str(tmp_path / "cto.yaml"))

    lab.forget()
    installed()
    lab.kubectl("apply", "-f", "-", stdin="---\n".join(map(dump_yaml, objects())))
    told = json.dumps({"status": {"phase": "Succeeded", "attempts": 1, "conditions": [TOLD]}})
    patch = ("patch", "coderun/done", "-n", "cto", "--subresource=status", "--type=merge")
    lab.kubectl(*patch, "-p", told)
    of_runs = ("get", "jobs,configmaps", "-n", "cto", "-l", RUN, "-o", "name")
    with place.controller():
        waited("no run begins", lambda: len(lab.kubectl(*of_runs).split()) == 2, SOON_S)
        waited("it is not told", lambda: phases(lab) == "Succeeded Running", SOON_S)
    before = secrets(lab)
    with place.velero("Unavailable"):
        error = lab.data("backup", "run", code=9)["error"]
        assert (error["code"], "NoSuchBucket" in str(error)) == ("CTO-1902", True)
    (place.folder / "data" / "cto").mkdir()
    with place.velero():
        backup = lab.data("backup", "run")["operation"]["name"]
        completed(lab, "backups.velero.io", backup)

    lab.forget()
    installed()
    assert secrets(lab)["argocd/argocd-redis"] != before["argocd/argocd-redis"]
    with place.controller(), place.velero():
        waited("Velero does not find the backup", lambda: backup in backups(lab), SOON_S)
        restore = lab.data("restore", backup)["operation"]["name"]
        completed(lab, "restores.velero.io", restore)
        after = secrets(lab)
        assert {name: after.get(name) for name in before} == before
        waited("the runs are not judged", lambda: phases(lab) == "Succeeded Failed", SOON_S)
    assert lab.kubectl(*of_runs) == ""
    lab.kubectl("get", "persistentvolumeclaim/workspace-shop", "-n", "cto")
    lab.kubectl("get", "workflowtemplate/mine", "-n", "argo")
    lab.kubectl("get", "redisreplication/cache", "redisreplication/mine", "-n", "databases")
    assert lab.kubectl("get", "workflows", "-n", "argo", "-o", "name") == ""
    again = installed()
    assert again["changes"] == []
    assert {check["status"] for check in again["checks"]} <= {"passed", "skipped"}
