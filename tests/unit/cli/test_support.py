"""`cto support-bundle` and `cto diagnose`: everything that helps, and no secret."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cto.adapters.docker import Daemon
from cto.adapters.docker.container import DockerContainer
from cto.engine.lease import LEASE
from cto.errors import ApiError, PreflightError
from cto.objects import Manifest, ObjectRef
from fakes.desk import API, Desk
from fakes.docker import FakeDocker

PASSWORD = "Zx8-planted-password"
PLAIN = "correcthorse"
TOKEN = "ghp_" + "aB3" * 12
JWT = "eyJhbGciOiJSUzI1NiIs.eyJzdWIiOiJwbGFudGVk.c2lnbmF0dXJlLXBsYW50ZWQ"
KEY_LINE = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCplanted"
PEM = f"-----BEGIN PRIVATE KEY-----\n{KEY_LINE}\n{KEY_LINE[::-1]}\n-----END PRIVATE KEY-----"
ENVIRONMENT = "of-nobody's-business"
PLANTED = (PASSWORD, PLAIN, TOKEN, JWT, KEY_LINE, KEY_LINE[::-1], "planted-token", ENVIRONMENT)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def installed(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A platform of two components; the command runs in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    desk.component(API)
    result = desk.cto("install", "--yes")
    assert result.exit_code == 0, result.output
    return desk


def bundle(desk: Desk, *arguments: str) -> dict[str, bytes]:
    """Make a bundle; return its files."""
    told = desk.document("support-bundle", *arguments)
    return unpacked(Path(told["data"]["file"].replace("DESK", str(desk.folder))))


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
        return {
            entry.name.partition("/")[2]: file.read()
            for entry in archive
            if (file := archive.extractfile(entry))
        }


def found(desk: Desk, *, code: int = 9) -> dict[str, dict[str, Any]]:
    """Return what `diagnose --live` finds, by rule; a bundle has to say the same."""
    live = desk.document("diagnose", "--live", code=code)["data"]
    file = str(desk.folder / "same.tar.gz")
    desk.document("support-bundle", "-o", file)
    offline = desk.document("diagnose", file, code=code)["data"]
    assert offline["findings"] == live["findings"]
    return {one["rule"]: one for one in live["findings"]}


def crashing(log: str = "") -> Manifest:
    """Return a pod whose program ends again and again."""
    ended = {"exitCode": 3, "reason": "Error", "finishedAt": "2030-01-02T03:03:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "web"},
        "spec": {
            "containers": [
                {
                    "name": "server",
                    "image": "web:1",
                    "env": [{"name": "X", "value": ENVIRONMENT}],
                    "args": [f"--password={PASSWORD}"],
                }
            ]
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "False", "message": log}],
            "containerStatuses": [
                {
                    "name": "server",
                    "image": "web:1",
                    "ready": False,
                    "restartCount": 7,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": log}},
                    "lastState": {"terminated": {**ended, "message": log}},
                }
            ],
        },
    }


def event(message: str, *, reason: str = "BackOff") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "web-1.x", "namespace": "web"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 4,
        "firstTimestamp": "2030-01-02T03:00:00Z",
        "lastTimestamp": "2030-01-02T03:02:00Z",
        "involvedObject": {"kind": "Pod", "name": "web-1", "namespace": "web"},
    }


def plant(desk: Desk) -> None:
    """Have secrets wherever programs and people put them."""
    data = {"password": encoded(PASSWORD), "words": encoded(PLAIN), "key.pem": encoded(PEM)}
    desk.cluster.add(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "planted", "namespace": "web"},
            "data": data,
        }
    )
    text = " ".join(
        (
            *(f"it is {one} or {encoded(one)} or {encoded('x:' + one)};" for one in PLANTED[:4]),
            f"Authorization: Bearer {JWT}",
            f"https://user:{PLAIN}@example.com/",
            encoded(PEM),
            PEM,
        )
    )
    desk.cluster.add(crashing(text))
    desk.cluster.add(event(text))
    for previous in (False, True):
        desk.cluster.container_logs[("web", "web-1", "server", previous)] = f"{text}\nlast words"


def haystacks(files: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    for name, data in files.items():
        text = data.decode()
        yield name, name
        yield name, text
        yield name, text.replace("\\n", "\n")


def test_no_planted_secret_is_in_any_byte(installed: Desk) -> None:
    plant(installed)
    files = bundle(installed)
    needles = [*PLANTED, *(encoded(one) for one in (*PLANTED, PEM))]
    # What is certain of the base64 of a text in the middle of another one.
    needles += [encoded("x:" + one)[4:-4] for one in PLANTED[:4]]
    for name, text in haystacks(files):
        assert [one for one in needles if one in text] == [], name
    assert b"last words" in files["logs/web/web-1/server.log"]
    assert b"last words" in files["logs/web/web-1/server.previous.log"]
    secrets = json.loads(files["cluster/secrets.json"])["secrets"]
    assert {
        "namespace": "web",
        "name": "planted",
        "type": "",
        "keys": sorted(("password", "words", "key.pem")),
    } in secrets
    live = installed.cto("diagnose", "--live")
    assert [one for one in needles if one in live.output] == []


def test_what_is_in_it(installed: Desk) -> None:
    installed.cluster.add(crashing("no route to the database"))
    installed.cluster.add(event("it backs off"))
    installed.cluster.container_logs[("web", "web-1", "server", True)] = "x\n" * 500 + "the end\n"
    files = bundle(installed)
    assert "missing.txt" not in files, files["missing.txt"].decode()
    listed = files["README.txt"].decode()
    for name in files:
        assert (name if not name.startswith("logs/") else "logs/") in listed
    about = json.loads(files["about.json"])
    assert (about["context"], about["provider"]) == ("test", "existing")
    assert json.loads(files["cluster/state.json"])["config"]["platform"]["name"]
    assert json.loads(files["cluster/journal.json"])
    runs = json.loads(files["cluster/history.json"])["runs"]
    assert [(one["command"], one["outcome"]) for one in runs] == [("install", "done")]
    status = installed.document("status")["data"]["checks"]
    health = json.loads(files["health.json"])["checks"]
    assert [(one["name"], one["status"]) for one in health] == [
        (one["name"], one["status"]) for one in status
    ]
    assert json.loads(files["plan.json"])["changes"] == 0
    (node,) = json.loads(files["cluster/nodes.json"])["nodes"]
    assert (node["name"], node["ready"]) == ("one", "True")
    (pod,) = json.loads(files["cluster/pods.json"])["pods"]
    assert pod["statuses"][0]["restartCount"] == 7
    (sick,) = json.loads(files["cluster/unready.json"])["objects"]
    assert sick["causes"][0]["code"] == "CTO-1702"
    assert len(files["logs/web/web-1/server.previous.log"].splitlines()) == 200
    timeline = files["timeline.txt"].decode().splitlines()
    assert timeline == sorted(timeline)
    assert any("Warning Pod web/web-1: BackOff: it backs off (4 times" in one for one in timeline)
    assert any("container server of web/web-1 ended: exit code 3" in one for one in timeline)
    assert any("run 1 (cto install) ends: done" in one for one in timeline)
    host = json.loads(files["machine/host.json"])
    assert [one["what"] for one in host["folders"]] == ["cache", "state"]
    assert json.loads(files["machine/versions.json"])["tools"]["helm"]


def test_nothing_of_the_cluster_is_changed(installed: Desk) -> None:
    installed.cluster.add(crashing())
    before = installed.cluster.everything()
    installed.cluster.calls.clear()
    bundle(installed)
    assert installed.cluster.everything() == before
    writes = {"apply", "create", "update", "delete", "post"}
    refs = [call for call in installed.cluster.calls if call[0] in writes]
    # Reviews, and dry runs by `create`, leave nothing behind.
    assert {call[0] for call in refs} <= {"create"}


def test_it_is_in_the_current_folder_and_nobody_else_may_read_it(installed: Desk) -> None:
    result = installed.cto("support-bundle")
    assert result.exit_code == 0, result.output
    (file,) = Path.cwd().iterdir()
    assert file.name == "cto-support-test-20300102T030405Z.tar.gz"
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"`cto diagnose {file}`" in result.stdout


@pytest.mark.parametrize("place", ["missing/x.tar.gz", "file/x.tar.gz"])
def test_where_it_cannot_be_written_nothing_is_gathered(installed: Desk, place: str) -> None:
    (Path.cwd() / "file").touch()
    installed.cluster.calls.clear()
    error = installed.document("support-bundle", "-o", place, code=4)["error"]
    assert error["code"] == "CTO-1485"
    assert "name another file: -o FILE" in error["fix"]
    assert installed.cluster.calls == []


def test_a_folder_may_be_named(installed: Desk) -> None:
    (Path.cwd() / "there").mkdir()
    installed.document("support-bundle", "-o", "there")
    assert [one.suffix for one in Path("there").iterdir()] == [".gz"]


def test_a_silent_api_server_is_no_reason_to_have_nothing(installed: Desk) -> None:
    silence = ApiError("CTO-1601", "no answer came from https://192.0.2.1")
    installed.cluster.fail_next("server_version", silence, times=100)
    files = bundle(installed)
    assert json.loads(files["cluster/api.json"])["error"]["code"] == "CTO-1601"
    assert "machine/host.json" in files
    told = f"the rest of the cluster: CTO-1601: {silence.message}\n"
    assert files["missing.txt"].decode() == told
    one = found(installed)["api-silent"]
    assert (one["code"], one["evidence"]) == ("CTO-1601", [silence.message])


def test_who_is_logged_out_is_told(installed: Desk) -> None:
    installed.cluster.logged_in = False
    one = found(installed)["credentials"]
    assert one["code"] == "CTO-1602"
    assert "log in again" in one["fix"]


def test_docker_that_is_down_is_a_cause_only_where_the_cluster_needs_it(installed: Desk) -> None:
    down = PreflightError("CTO-1420", "no Docker answers at unix:///var/run/docker.sock")
    installed.docker = FakeDocker(fails=down)
    files = bundle(installed)
    assert json.loads(files["machine/docker.json"])["error"]["code"] == "CTO-1420"
    assert found(installed, code=0) == {}
    installed.contexts("kind-cto")
    silence = ApiError("CTO-1601", "no answer")
    installed.cluster.fail_next("server_version", silence, times=100)
    rules = list(found(installed))
    assert rules == ["docker-down", "api-silent"]


def test_docker_and_a_registry_that_is_gone(installed: Desk) -> None:
    node = DockerContainer(id="", name="cto-worker", labels={"io.x-k8s.kind.cluster": "cto"})
    docker = installed.docker = FakeDocker(
        info=Daemon(endpoint="unix:///x", version="26.1.5", storage_driver="overlay2"),
        program=lambda *_: (0, "# Written by cto at each install. It asks: cto-registry-1234\n"),
    )
    docker.add(node)
    facts = json.loads(bundle(installed)["machine/docker.json"])
    assert (facts["version"], facts["storage_driver"]) == ("26.1.5", "overlay2")
    one = found(installed)["registry-gone"]
    assert one["code"] == "CTO-1530"
    assert one["evidence"] == [
        "node cto-worker asks cto-registry-1234 for the bundle's images, and it is not there"
    ]


def test_which_cluster_is_asked_where_nobody_can_know(installed: Desk) -> None:
    installed.contexts("one", "two")
    assert installed.document("support-bundle", code=2)["error"]["code"] == "CTO-1201"


def test_one_part_that_fails_is_named_and_the_others_are_there(installed: Desk) -> None:
    installed.cluster.unlisted[("v1", "Event")] = ApiError("CTO-1602", "events are forbidden")
    installed.cluster.fail_next("scan", ZeroDivisionError("planted"), kind="Node", times=9)
    files = bundle(installed)
    missing = files["missing.txt"].decode()
    assert "events: CTO-1602: events are forbidden\n" in missing
    assert "nodes: an internal error: ZeroDivisionError\n" in missing
    assert "planted" not in missing
    assert "cluster/history.json" in files


def test_who_may_not_see_secrets_is_told_what_follows(installed: Desk) -> None:
    plant(installed)
    installed.cluster.unlisted[("v1", "Secret")] = ApiError("CTO-1602", "secrets are forbidden")
    files = bundle(installed)
    missing = files["missing.txt"].decode()
    assert "what only they tell was not taken out of the rest): CTO-1602" in missing
    text = files["logs/web/web-1/server.log"].decode()
    assert "last words" in text
    assert [one for one in (TOKEN, JWT, KEY_LINE) if one in text] == []


def test_a_long_log_is_cut_between_lines(installed: Desk) -> None:
    installed.cluster.add(crashing())
    line = f"{TOKEN} " + "x" * 1000
    installed.cluster.container_logs[("web", "web-1", "server", False)] = f"{line}\n" * 100
    lines = bundle(installed)["logs/web/web-1/server.log"].decode().splitlines()
    assert 50 < len(lines) < 64
    assert set(lines) == {"*** " + "x" * 1000}


def test_a_healthy_platform_has_nothing(installed: Desk) -> None:
    assert found(installed, code=0) == {}
    assert "nothing was found" in installed.cto("diagnose", "--live").stdout


def test_a_crash_is_named_with_its_last_line(installed: Desk) -> None:
    installed.cluster.add(crashing())
    installed.cluster.container_logs[("web", "web-1", "server", True)] = "no such table: users"
    result = installed.cto("diagnose", "--live")
    assert result.exit_code == 9
    assert result.stdout.startswith("test: ")
    assert "1. CTO-1702 Container keeps crashing (likely)" in result.stdout
    assert "   web: pod web-1: CrashLoopBackOff: container server exit code 3" in result.stdout
    assert "last line: no such table: users" in result.stdout


def test_a_run_that_was_killed_is_told_of(installed: Desk) -> None:
    ref = ObjectRef("v1", "ConfigMap", "cto-system", "cto-run-000001")
    run = installed.cluster.everything()[ref]
    data = json.loads(run["data"]["run.json"])
    installed.cluster.add({**run, "data": {"run.json": json.dumps({**data, "outcome": "running"})}})
    assert found(installed)["run-killed"]["code"] == "CTO-1950"
    failed = {**data, "outcome": "failed", "error": "CTO-1703: no room"}
    installed.cluster.add({**run, "data": {"run.json": json.dumps(failed)}})
    one = found(installed)["run-failed"]
    assert one["code"] == "CTO-1703"


def test_the_lock_of_a_run_that_died_is_told_of(installed: Desk) -> None:
    host = installed.machine.host
    holder = (
        f"host={host.name} pid=4711 started=1 boot={host.boot_id} pidns={host.pid_namespace} "
        "daemon= container= nonce=x"
    )
    lease = installed.cluster.everything()[ObjectRef(*LEASE, "cto-system", "cto-lock")]
    spec = {**lease["spec"], "holderIdentity": holder, "renewTime": "2030-01-02T03:04:00.000000Z"}
    installed.cluster.add({**lease, "spec": spec})
    one = found(installed)["lock-of-dead-run"]
    assert one["code"] == "CTO-2000"
    assert "Process 4711" in one["evidence"][0]


def test_either_a_file_or_the_cluster_is_named(installed: Desk) -> None:
    for arguments in ((), ("x.tar.gz", "--live")):
        assert installed.document("diagnose", *arguments, code=2)["error"]["code"] == "CTO-1200"


def test_what_is_no_bundle_is_refused(installed: Desk) -> None:
    file = Path.cwd() / "x.tar.gz"
    for content in (None, b"", b"not packed", b"\x1f\x8b\x08\x00damaged"):
        if content is not None:
            file.write_bytes(content)
        error = installed.document("diagnose", str(file), code=2)["error"]
        assert error["code"] == "CTO-1290"
    with tarfile.open(file, "w:gz"):
        pass
    error = installed.document("diagnose", str(file), code=2)["error"]
    assert "about.json" in error["message"]


def test_a_bundle_needs_neither_cluster_nor_machine(installed: Desk) -> None:
    installed.cluster.add(crashing())
    file = str(installed.folder / "x.tar.gz")
    installed.document("support-bundle", "-o", file)
    installed.cluster.calls.clear()
    assert installed.cto("diagnose", file).exit_code == 9
    assert installed.cluster.calls == []


def pod(reason: str = "", message: str = "", **status: Any) -> Manifest:
    """Return a pod whose container waits for a reason, or that has another status."""
    waiting = {"waiting": {"reason": reason, "message": message}}
    one = {"name": "server", "image": "registry.example.com/web:1", "ready": False}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "web"},
        "spec": {"nodeName": "one", "containers": [{"name": "server", "image": one["image"]}]},
        "status": {
            "phase": "Pending",
            **({"containerStatuses": [{**one, "state": waiting}]} if reason else {}),
            **status,
        },
    }


def unscheduled(message: str) -> Manifest:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    made = pod(conditions=[{**condition, "message": message}])
    del made["spec"]["nodeName"]
    return made


def sick_node(**conditions: str) -> Manifest:
    told = [{"type": name, "status": status} for name, status in conditions.items()]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "two"},
        "status": {"conditions": told},
    }


def oom() -> Manifest:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    made = pod("CrashLoopBackOff")
    made["status"]["containerStatuses"][0] |= {"lastState": ended, "restartCount": 3}
    return made


def webhook(policy: str) -> Manifest:
    service = {"namespace": "web", "name": "gone"}
    hook = {"name": "w.example.com", "clientConfig": {"service": service}, "failurePolicy": policy}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "w"},
        "webhooks": [hook],
    }


def condition_of(kind: str, api_version: str, name: str, **condition: str) -> Manifest:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"group": "x.io", "names": {"kind": "X", "plural": "xs"}, "scope": "Cluster"}
        | {"versions": []},
        "status": {"conditions": [condition]},
    }


def claim() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "web"},
        "spec": {},
        "status": {"phase": "Pending"},
    }


def stuck_namespace() -> Manifest:
    deleted = "2030-01-01T00:00:00Z"
    left = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "x.io/y in 1"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "old", "deletionTimestamp": deleted},
        "status": {"phase": "Terminating", "conditions": [left]},
    }


def refused_pods() -> Manifest:
    text = 'pods "api-1" is forbidden: exceeded quota: small, requested: cpu=2, limited: cpu=1'
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "other", "namespace": "api"},
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 9,
            "conditions": [{"type": "ReplicaFailure", "status": "True", "message": text}],
        },
    }


CRDS = ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "xs.x.io")
SIGNS = {
    "image-missing": pod("ImagePullBackOff", "registry.example.com/web:1: not found"),
    "image-denied": pod("ErrImagePull", "pull access denied: unauthorized"),
    "memory": oom(),
    "no-cpu": unscheduled("0/1 nodes are available: 1 Insufficient cpu."),
    "no-memory": unscheduled("0/1 nodes are available: 1 Insufficient memory."),
    "taint": unscheduled("0/1 nodes are available: 1 node(s) had untolerated taint {a: b}."),
    "volume": unscheduled("0/1 nodes: pod has unbound immediate PersistentVolumeClaims."),
    "claim-class": claim(),
    "node-not-ready": sick_node(Ready="Unknown"),
    "node-pressure": sick_node(Ready="True", DiskPressure="True"),
    "webhook-silent": webhook("Fail"),
    "namespace-stuck": stuck_namespace(),
    "api-service": condition_of(
        "APIService", "apiregistration.k8s.io/v1", "v1.x.io", type="Available", status="False"
    ),
    "definition": condition_of(
        *CRDS, type="NamesAccepted", status="False", reason="Conflict", message="taken"
    ),
    "config-missing": pod("CreateContainerConfigError", 'secret "x" not found'),
    "quota": refused_pods(),
}


@pytest.mark.parametrize("rule", SIGNS)
def test_a_sign_in_the_cluster_is_seen(installed: Desk, rule: str) -> None:
    installed.cluster.add(SIGNS[rule])
    findings = installed.document("diagnose", "--live", code=9)["data"]["findings"]
    assert rule in {one["rule"] for one in findings}


def test_a_webhook_that_may_be_left_out_is_no_cause(installed: Desk) -> None:
    installed.cluster.add(webhook("Ignore"))
    assert found(installed, code=0) == {}


def test_clocks_that_differ_are_told(installed: Desk) -> None:
    installed.cluster.time += timedelta(seconds=61)
    one = found(installed)["clock-skew"]
    assert one["evidence"] == [
        "the API server's clock says 2030-01-02T03:05:06Z, this machine's 2030-01-02T03:04:05Z"
    ]


def test_an_image_that_the_bundle_lacks_is_told_from_one_that_upstream_lacks(
    installed: Desk,
) -> None:
    ref = ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")
    state = installed.cluster.everything()[ref]
    data = json.loads(state["data"]["state.json"])
    data |= {"provider": "kind", "config": {**data["config"], "air_gapped": True}}
    installed.cluster.add({**state, "data": {"state.json": json.dumps(data)}})
    installed.cluster.add(SIGNS["image-missing"])
    one = found(installed)["image-bundle"]
    assert one["code"] == "CTO-1712"
    assert "registry.example.com/web:1 is not in the bundle" in one["evidence"][0]


def test_what_was_deleted_is_told(installed: Desk) -> None:
    installed.cluster.delete_quietly(ObjectRef("apps/v1", "Deployment", "web", "web"))
    assert "Deployment web in web" in found(installed)["object-missing"]["evidence"][0]
