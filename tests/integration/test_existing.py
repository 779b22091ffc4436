"""Provider `existing`: somebody's cluster, and all that may be wrong with it or the way to it.

The simulated cluster plays the existing one: the installer gets its kubeconfig and nothing else.
"""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.host import Host
from cto.objects import ObjectRef, labels_of

from .conftest import CONTEXT, Lab
from .kubeconfigs import Kubeconfig, failure

INSTALL = ("install", "--provider", "existing")
SECONDS = 30
STATE = ObjectRef("v1", "Namespace", "", "cto-system")
DEFAULT = "storageclass.kubernetes.io/is-default-class"


@pytest.fixture(scope="module")
def there(lab: Lab) -> Lab:
    """Return a cluster without the platform."""
    lab.forget()
    if not (lab.folder / "kubeconfig").exists():
        lab.install()
        lab.forget()
    return lab


@pytest.fixture
def kubeconfig(there: Lab, tmp_path: Path) -> Kubeconfig:
    return Kubeconfig(there, tmp_path / "config")


# which cluster


@pytest.mark.parametrize("command", [INSTALL, ("status",), ("plan", "uninstall")])
def test_of_several_contexts_none_is_guessed_and_each_can_be_pasted(
    there: Lab, kubeconfig: Kubeconfig, command: tuple[str, ...]
) -> None:
    """Not even the current one."""
    other = "it's another"
    file = str(kubeconfig.with_contexts(CONTEXT, other))
    error = failure(there, *command, "--kubeconfig", file, code=2)
    assert error["code"] == "CTO-1201"
    assert error["message"].endswith(f"(kubectl uses '{CONTEXT}')")
    lines = [line.strip() for line in error["details"].splitlines()]
    assert lines == [f"--context {CONTEXT}", f"--context {shlex.quote(other)}"]
    for line in lines:
        pasted = failure(there, "status", "--kubeconfig", file, *shlex.split(line), code=9)
        assert pasted["code"] == "CTO-1901"


def test_without_a_context_there_is_no_cluster(there: Lab, kubeconfig: Kubeconfig) -> None:
    for file in (kubeconfig.with_contexts(), kubeconfig.file.with_name("nothing")):
        error = failure(there, *INSTALL, "--kubeconfig", str(file), code=2)
        assert error["code"] == "CTO-1202"
        assert str(file) in error["message"]
        assert "--provider kwok" in error["fix"]


def test_an_unknown_context_is_told_with_the_known_ones(there: Lab, kubeconfig: Kubeconfig) -> None:
    file = str(kubeconfig.with_contexts(CONTEXT, "b"))
    error = failure(there, *INSTALL, "--kubeconfig", file, "--context", "c", code=2)
    assert error["code"] == "CTO-1203"
    assert error["details"].splitlines() == ["The contexts there are:", f"  {CONTEXT}", "  b"]


# the way to it


def test_a_dead_port_is_told_within_seconds(there: Lab, kubeconfig: Kubeconfig) -> None:
    file = str(kubeconfig.with_server("https://127.0.0.1:9"))
    begun = time.monotonic()
    error = failure(there, "status", "--kubeconfig", file, code=6)
    assert time.monotonic() - begun < SECONDS
    assert error["code"] == "CTO-1601"
    assert "Connection refused" in error["details"]


def test_a_dead_port_of_the_own_container_is_told_as_such(
    there: Lab, kubeconfig: Kubeconfig
) -> None:
    """A loopback address is right on the host, and wrong in a container."""
    file = str(kubeconfig.with_server("https://127.0.0.1:9"))
    inside = Host().in_container
    for command in (INSTALL, ("plan", *INSTALL)):
        error = failure(there, *command, "--kubeconfig", file, code=4)
        assert error["code"] == ("CTO-1403" if inside else "CTO-1400")
        assert ("--network host" in error["details"]) == inside
        assert ("Connection refused" in error["details"]) != inside


def test_an_expired_token_names_the_user_of_the_kubeconfig(
    there: Lab, kubeconfig: Kubeconfig
) -> None:
    file = str(kubeconfig.with_token("someone@example.com", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"))
    for command in (INSTALL, ("status",)):
        error = failure(there, *command, "--kubeconfig", file, code=6)
        assert error["code"] == "CTO-1602"
        assert "'someone@example.com'" in error["message"]
        assert "eyJ" not in json.dumps(error)


# what it allows


def test_missing_permissions_are_told_all_at_once(there: Lab, kubeconfig: Kubeconfig) -> None:
    there.kubectl("create", "serviceaccount", "poor", "--namespace", "default")
    try:
        token = there.kubectl("create", "token", "poor", "--namespace", "default").strip()
        file = str(kubeconfig.with_token("poor", token))
        for command in (INSTALL, ("plan", *INSTALL)):
            error = failure(there, *command, "--kubeconfig", file, code=4)
            assert error["code"] == "CTO-1400"
            told = error["details"]
            assert "get, list, create, patch namespaces\n" in told
            assert "get, list, create, patch, delete clusterroles.rbac.authorization" in told
            assert "escalate clusterroles.rbac.authorization.k8s.io (or, of what " in told
            assert "get, create, update, list, delete configmaps in namespace cto-system\n" in told
            assert '      kind: "ClusterRole"\n' in told
            (line,) = (text for text in told.splitlines() if "deployments.apps in" in text)
            for namespace in ("argo", "argo-events", "argocd", "cto"):
                assert namespace in line
            assert "cto-system" not in line
    finally:
        there.kubectl("delete", "serviceaccount", "poor", "--namespace", "default")


def test_rights_that_are_given_are_not_told_as_missing(there: Lab, kubeconfig: Kubeconfig) -> None:
    """An account that may only look has just the rest to ask for."""
    there.kubectl("create", "serviceaccount", "reader", "--namespace", "default")
    rules = ("clusterrole", "reader", "--verb=get,list,watch", "--resource=*.*")
    there.kubectl("create", *rules)
    account = "--serviceaccount=default:reader"
    there.kubectl("create", "clusterrolebinding", "reader", "--clusterrole=reader", account)
    try:
        token = there.kubectl("create", "token", "reader", "--namespace", "default").strip()
        file = str(kubeconfig.with_token("reader", token))
        told = failure(there, *INSTALL, "--kubeconfig", file, code=4)["details"]
        assert "create, patch namespaces\n" in told
        assert "get, list" not in told
    finally:
        for kind in ("clusterrolebinding/reader", "clusterrole/reader"):
            there.kubectl("delete", kind)
        there.kubectl("delete", "serviceaccount", "reader", "--namespace", "default")


def test_the_role_that_is_shown_before_a_removal_is_enough_for_it(
    there: Lab, kubeconfig: Kubeconfig, tmp_path: Path
) -> None:
    config = tmp_path / "cto.yaml"
    config.write_text("components: {argo-events: {mode: external}, argocd: {mode: external}}\n")
    there.data(*INSTALL, "--config", str(config))
    there.kubectl("create", "serviceaccount", "remover", "--namespace", "default")
    token = there.kubectl("create", "token", "remover", "--namespace", "default").strip()
    file = str(kubeconfig.with_token("remover", token))
    removal = ("uninstall", "--yes", "--delete-data", "--delete-crds", "--kubeconfig", file)
    roles = []
    document: dict[str, Any] = {}
    try:
        # Whoever may not look at all is told what looking takes, and what the state tells of.
        for _ in range(3):
            done = there.run(*removal, "--output", "json", code=None)
            document = json.loads(done.stdout)
            if document["ok"]:
                break
            assert document["error"]["code"] == "CTO-1400", document["error"]
            lines = document["error"]["details"].splitlines()
            begin = lines.index("    apiVersion: v1")
            roles.append(textwrap.dedent("\n".join(lines[begin:])))
            there.kubectl("apply", "-f", "-", stdin=roles[-1])
        assert document["ok"]
        assert len(roles) == 2
        assert json.loads(there.helm("list", "--all-namespaces", "--output", "json")) == []
        # The namespaces stay: the roles that were applied are in them.
        assert there.cluster().get(ObjectRef("v1", "ConfigMap", STATE.name, "cto-state")) is None
    finally:
        for role in roles:
            there.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=role)
        there.kubectl("delete", "serviceaccount", "remover", "--namespace", "default")
        there.forget()


# what it has


def test_all_that_is_missing_in_a_cluster_is_told_at_once(there: Lab) -> None:
    """No default class for volumes, no room, and a namespace of somebody else."""
    there.kubectl("create", "namespace", "monitoring")
    there.kubectl("annotate", "storageclass", "standard", f"{DEFAULT}-")
    try:
        error = failure(there, *INSTALL, "--profile", "production", code=4)
    finally:
        there.kubectl("annotate", "storageclass", "standard", f"{DEFAULT}=true")
        there.kubectl("delete", "namespace", "monitoring")
    assert error["code"] == "CTO-1400"
    told = error["details"]
    assert "Default StorageClass: none of standard is the default" in told
    assert f"fix: kubectl annotate storageclass standard {DEFAULT}=true" in told
    assert "Room: 1 usable nodes" in told
    assert "Namespace monitoring" in told
    assert "components.grafana.mode: external" in told
    assert there.cluster().get(STATE) is None


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: theirs\nversion: 1.0.0\n",
    "templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\n",
}
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: workflows.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {plural: workflows, singular: workflow, kind: Workflow}
  versions:
    - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


@pytest.fixture
def foreign(there: Lab, tmp_path: Path) -> Iterator[Lab]:
    """Somebody else's Argo Workflows: a release, its namespace, a definition."""
    for name, text in CHART.items():
        file = tmp_path / "chart" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    chart = str(tmp_path / "chart")
    there.helm("install", "argo-workflows", chart, "--namespace", "argo", "--create-namespace")
    there.kubectl("apply", "-f", "-", stdin=DEFINITION)
    yield there
    there.forget()
    there.kubectl("delete", "--ignore-not-found", "crd/workflows.argoproj.io", "namespace/argo")


def paste(lab: Lab, lines: Sequence[str]) -> None:
    """Run lines in a shell, as a user would who has kubectl and the kubeconfig."""
    path = f"{lab.tools}:{os.environ['PATH']}"
    script = "set -e\n" + "\n".join(lines)
    subprocess.run(["/bin/sh", "-c", script], env={**lab.env, "PATH": path}, check=True)


def revision(lab: Lab) -> str:
    (found,) = json.loads(lab.helm("list", "--namespace", "argo", "--output", "json"))
    return str(found["revision"])


def test_what_is_foreign_is_named_used_or_handed_over(foreign: Lab, tmp_path: Path) -> None:
    error = failure(foreign, *INSTALL, code=4)
    assert error["code"] == "CTO-1401"
    told = [line.strip() for line in error["details"].splitlines()]
    assert "Helm release argo-workflows in argo" in told
    assert "Namespace argo" in told
    assert "CustomResourceDefinition workflows.argoproj.io" in told
    assert "components.argo-workflows.mode: external" in told
    assert foreign.cluster().get(STATE) is None

    config = tmp_path / "cto.yaml"
    config.write_text("components: {argo-workflows: {mode: external}}\n")
    used = foreign.data(*INSTALL, "--config", str(config))
    assert sorted(used["components"]) == ["argo-events", "argocd", "controller"]
    assert not [change for change in used["changes"] if "argo-workflows" in change]
    namespace = foreign.cluster().get(ObjectRef("v1", "Namespace", "", "argo"))
    assert namespace
    assert "app.kubernetes.io/managed-by" not in labels_of(namespace)
    assert revision(foreign) == "1"

    commands = [line for line in told if line.startswith("kubectl ")]
    assert len(commands) == 3
    paste(foreign, commands)
    taken = foreign.data(*INSTALL)
    assert len(taken["components"]) == 4
    assert revision(foreign) == "2"
    assert foreign.data(*INSTALL)["changes"] == []


# who watches


def test_whoever_watches_is_asked_and_nothing_happens_before_the_answer(there: Lab) -> None:
    """All other tests have no terminal, and none of them is asked."""
    terminal, end = pty.openpty()
    env = {**there.env, "TERM": "dumb"}
    argv = there.argv(*INSTALL)
    with subprocess.Popen(
        argv, env=env, cwd=there.folder, stdin=end, stdout=subprocess.PIPE, stderr=end
    ) as asked:
        os.close(end)
        said = read_until(terminal, "Carry this out")
        os.write(terminal, b"n\n")
        said += drain(terminal)
        code = asked.wait(60)
    os.close(terminal)
    assert f"Carry this out on {CONTEXT}? [y/N]" in said
    assert "Install Argo CD" in said
    assert code == 130, said
    assert there.cluster().get(STATE) is None


def read_until(terminal: int, words: str) -> str:
    said = ""
    while words not in said:
        said += os.read(terminal, 4096).decode()
    return said


def drain(terminal: int) -> str:
    """Read what comes until the other end is closed, which Linux tells as an error."""
    said = b""
    while True:
        try:
            new = os.read(terminal, 4096)
        except OSError:
            return said.decode()
        said += new
