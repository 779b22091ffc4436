"""`cto notify test`, with the program that its Jobs run, and a mail server that it talks to.

The cluster is a fake one, whose nodes run what is in a Job as a process on this machine.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cto.objects import Manifest, ObjectRef
from fakes.certificates import authority, server_side
from fakes.cluster import FakeCluster
from fakes.components import RUNS_AGENTS, definition
from fakes.controllers import make_ready
from fakes.desk import API, Desk
from fakes.mailserver import MailServer
from fakes.world import crd

PASSWORD = "planted-password"
MAIL = """
supplied_secrets: [{name: mail, keys: {password: smtp.password}}]
mail: {secret: mail/password}
"""
OTHER = API.replace("api", "other").replace("Api", "Other").replace("depends_on: [web]\n", "")
ENV = {
    "CTO_FEATURES__MAIL_NOTIFICATIONS": "true",
    "CTO_SMTP__HOST": "localhost",
    "CTO_SMTP__SENDER": "cto@example.com",
    "CTO_SMTP__RECIPIENTS": '["team@example.com", "ops@example.com"]',
    "CTO_SMTP__USERNAME": "cto",
    "CTO_SMTP__PASSWORD": PASSWORD,
}
CONTROLLER = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "controller", "namespace": "cto"},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "controller", "image": "ours@sha256:1"}],
                "imagePullSecrets": [{"name": "registry"}],
            }
        }
    },
}
# A platform that could not run agents would be degraded.
ACCOUNT = {
    "apiVersion": "v1",
    "kind": "ServiceAccount",
    "metadata": {"name": "cto-agent", "namespace": "cto"},
}
SETTINGS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "controller-task-controller-config", "namespace": "cto"},
    "data": {"config.yaml": "agents: {}"},
}
FAILED = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}


@dataclass
class Nodes:
    """Runs the containers of Jobs at once, with what they would see."""

    folder: Path
    jobs: list[Manifest] = field(default_factory=list)
    cluster: FakeCluster = field(init=False)

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(controllers=[make_ready, self.run])

    def run(self, manifest: Manifest) -> None:
        if manifest["kind"] != "Job" or manifest in self.jobs:
            return
        self.jobs.append(manifest)
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        argv = [sys.executable, *container["command"][1:]]
        env = {one["name"]: self._value(manifest, one) for one in container["env"]}
        env["SSL_CERT_FILE"] = str(authority(self.folder))
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            manifest["status"] = {"failed": 1, "conditions": [FAILED]}
            self._leave(manifest["metadata"], done.stderr)

    def _leave(self, job: dict[str, Any], log: str) -> None:
        name, namespace = f"{job['name']}-x", job["namespace"]
        marks = {"batch.kubernetes.io/job-name": job["name"]}
        about = {"name": name, "namespace": namespace, "labels": marks}
        self.cluster.add({"apiVersion": "v1", "kind": "Pod", "metadata": about})
        self.cluster.container_logs[namespace, name, "mail", False] = log

    def _value(self, manifest: Manifest, given: dict[str, Any]) -> str:
        if "value" in given:
            return str(given["value"])
        named = given["valueFrom"]["secretKeyRef"]
        namespace = manifest["metadata"]["namespace"]
        secret = self.cluster.peek(ObjectRef("v1", "Secret", namespace, named["name"]))
        return base64.b64decode((secret or {}).get("data", {}).get(named["key"], "")).decode()


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    return Nodes(tmp_path)


@pytest.fixture
def desk(tmp_path: Path, nodes: Nodes) -> Desk:
    """A platform of two programs: one that sends mails, one that sends none yet."""
    made = Desk(tmp_path / "desk", cluster=nodes.cluster)
    made.component(API.replace("depends_on: [web]\n", "") + MAIL)
    made.component(OTHER + "mail: {secret: mail/password, when: github.organization}\n")
    labels = {"app.kubernetes.io/managed-by": "cto"}
    namespace = {"name": "cto", "labels": labels}
    nodes.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    made.component(definition("controller", namespace="cto", health=RUNS_AGENTS))
    for needed in (ACCOUNT, SETTINGS, crd("coderuns.agents.platform", "CodeRun")):
        nodes.cluster.add(needed)
    return made


@pytest.fixture(params=["starttls", "tls", "none"])
def encryption(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def listening(folder: Path, encryption: str, password: str = PASSWORD) -> MailServer:
    tls = None if encryption == "none" else server_side(folder)
    return MailServer(tls=tls, at_once=encryption == "tls", login=("cto", password))


def installed(desk: Desk, server: MailServer, encryption: str, **env: str) -> Desk:
    desk.env |= {**ENV, "CTO_SMTP__PORT": str(server.port), "CTO_SMTP__ENCRYPTION": encryption}
    desk.env |= env
    done = desk.cto("install")
    assert done.exit_code == 0, done.output
    desk.cluster.add(CONTROLLER)
    return desk


def test_a_mail_comes_by_each_way(
    desk: Desk, nodes: Nodes, tmp_path: Path, encryption: str
) -> None:
    with listening(tmp_path, encryption) as server:
        document = installed(desk, server, encryption).document("notify", "test")
    ((recipients, mail),) = server.mails
    assert recipients == ["team@example.com", "ops@example.com"]
    assert (mail["From"], mail["Subject"]) == ("cto@example.com", "cto: a test of Api")
    sent, left_out = document["data"]["mails"]
    assert sent == {"component": "api", "namespace": "api", "status": "sent", "message": ""}
    assert left_out["message"] == "sends none without github.organization"
    (job,) = nodes.jobs
    pod = job["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["containers"][0]["image"] == "ours@sha256:1"
    assert PASSWORD not in str(job) + str(document)


@pytest.mark.parametrize(
    "case",
    [
        ("none", "none", "another", "535"),
        ("none", "starttls", PASSWORD, "STARTTLS extension not supported"),
        ("starttls", "tls", PASSWORD, "WRONG_VERSION_NUMBER"),
    ],
)
def test_what_does_not_arrive_is_told(
    desk: Desk, tmp_path: Path, case: tuple[str, str, str, str]
) -> None:
    offered, wanted, password, told = case
    with listening(tmp_path, offered, password) as server:
        result = installed(desk, server, wanted).cto("notify", "test")
    assert result.exit_code == 9, result.output
    assert server.mails == []
    assert "failed" in result.stdout
    assert told in result.stdout
    assert PASSWORD not in result.output


def test_a_platform_without_mails_has_none_to_test(desk: Desk) -> None:
    assert desk.cto("install").exit_code == 0
    result = desk.cto("notify", "test")
    assert result.exit_code == 9
    assert "CTO-1903" in result.stderr
    assert "features.mail_notifications is off" in result.stderr
