"""From inside the cluster: what the manifest of docs/in-cluster.md gives to a pod is enough."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cto.cli.output import Terminal
from cto.cli.root import cli
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.objects import Manifest, dump_documents, load_documents, load_yaml

from .conftest import ROOT, Lab

ACCOUNT = ("ServiceAccount", "ClusterRoleBinding", "Namespace")


def manifests() -> dict[str, Manifest]:
    text = (ROOT / "docs" / "in-cluster.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    return {item["kind"]: item for block in blocks for item in load_documents(block)}


class Pod:
    """Runs commands as the Job's container does: its account, its arguments, no kubeconfig."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        job = manifests()["Job"]
        self.spec = job["spec"]["template"]["spec"]
        self.args: list[str] = self.spec["containers"][0]["args"]
        self._account = folder / "serviceaccount"
        self._account.mkdir()
        self.renew(lab)
        cluster = load_yaml((lab.folder / "kubeconfig").read_text())["clusters"][0]["cluster"]
        ca = base64.b64decode(cluster["certificate-authority-data"])
        (self._account / "ca.crt").write_bytes(ca)
        (self._account / "namespace").write_text(job["metadata"]["namespace"])
        server = urlsplit(cluster["server"])
        # What the image has in it.
        self._brought = ("--charts", str(lab.charts), "--tools", str(lab.tools))
        self._env = {
            **{key: value for key, value in lab.env.items() if key != "KUBECONFIG"},
            "HOME": str(folder / "home"),
            "KUBERNETES_SERVICE_HOST": str(server.hostname),
            "KUBERNETES_SERVICE_PORT": str(server.port),
        }

    def renew(self, lab: Lab) -> None:
        account = ("-n", "cto-installer", "create", "token", self.spec["serviceAccountName"])
        (self._account / "token").write_text(lab.kubectl(*account).strip())

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
        capsys.readouterr()
        code = cli.main(
            [*arguments, *self._brought, "--output", "json"],
            standalone_mode=False,
            obj=Terminal(wiring=self._wiring),
        )
        out, err = capsys.readouterr()
        assert (self._account / "token").read_text() not in out + err
        return code, json.loads(out), err

    def _wiring(self, options: ClusterOptions) -> Wiring:
        return Wiring(CommandSettings(options, env=self._env, service_account=self._account))


@pytest.fixture
def pod(fresh: Lab, tmp_path: Path) -> Pod:
    given = [manifest for kind, manifest in manifests().items() if kind in ACCOUNT]
    given.sort(key=lambda manifest: manifest["kind"] != "Namespace")
    fresh.kubectl("apply", "-f", "-", stdin=dump_documents(given))
    return Pod(fresh, tmp_path)


def test_the_job_of_the_manual_installs_by_its_service_account(
    fresh: Lab, pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document, err = pod.run(capsys, *pod.args)
    assert code == 0, f"{document['error']}\n{err}"
    assert document["data"]["context"] == "in-cluster"
    assert document["data"]["kubeconfig"] == ""
    pod.renew(fresh)
    code, document, err = pod.run(capsys, "status")
    assert code == 0, err
    releases = json.loads(fresh.helm("list", "-A", "-o", "json"))
    assert releases
    assert {release["status"] for release in releases} == {"deployed"}


def test_without_its_rights_the_preflight_says_so_before_anything_is_done(
    fresh: Lab, pod: Pod, capsys: pytest.CaptureFixture[str]
) -> None:
    """And that it is the account, and not somebody with more rights, who asks."""
    fresh.kubectl("delete", "clusterrolebinding", "cto-installer")
    code, document, _ = pod.run(capsys, *pod.args)
    assert code == 4, document["error"]
    assert "namespaces" in json.dumps(document)
    assert "cto-system" not in fresh.kubectl("get", "namespaces", "-o", "name")
