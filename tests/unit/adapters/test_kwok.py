"""Provider kwok, with a kwokctl that writes files and processes of a machine in a folder."""

from __future__ import annotations

import json
import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from cto.adapters.kwok.config import PROGRAMS, configuration, node
from cto.adapters.kwok.lock import exclusive
from cto.adapters.kwok.provider import Kwok
from cto.errors import ApiError, Cancelled, IntegrityError, LockedError, ToolError, WaitError
from cto.objects import Manifest, ObjectRef
from cto.ports import Access, NodeOptions, ProviderState
from cto.result import CheckStatus
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.machine import FakeMachine
from fakes.runner import Call, FakeRunner, Reply

OPTIONS = NodeOptions(nodes=2, profile="standard", cpu=8, memory_gib=16)
SERVER = "https://127.0.0.1:20000"
STAGE: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-stage"}}
STATUS = {"conditions": [{"type": "Ready", "status": "True"}]}


class Programs:
    """Tools as files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given = True
        self.broken: set[str] = set()

    def path(self, name: str) -> Path:
        file = self.folder / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
        return file

    def version(self, name: str) -> str:
        return "1.34.4"

    def is_given(self, name: str) -> bool:
        return self.given

    def source(self, name: str) -> str:
        if name in self.broken:
            raise IntegrityError("CTO-1801", f"{name} has no pinned checksum")
        return f"as given: {self.folder / name}"


class Lab:
    """One machine with the provider on it."""

    def __init__(self, tmp: Path, *, immortal: frozenset[int] = frozenset()) -> None:
        self.folder = tmp / "state" / "cto" / "kwok" / "demo"
        self.shared = tmp / "home" / ".kube" / "config"
        self.machine = FakeMachine(tmp / "root", immortal=immortal)
        self.programs = Programs(tmp / "tools")
        self.runner = FakeRunner()
        self.clock = FakeClock()
        self.cluster = FakeCluster(controllers=[_node_controller])
        self.closed = 0
        self.said: list[str] = []
        self.runner.on("kwokctl", "create", reply=Reply(effect=self.created))
        self.runner.on("kwokctl", "start", reply=Reply(effect=self.started))
        self.runner.on("kube-apiserver", "--version", stdout="Kubernetes v1.35.4\n")

    def provider(self, **changes: Any) -> Kwok:
        settings: dict[str, Any] = {
            "runner": self.runner,
            "tools": self.programs,
            "clock": self.clock,
            "host": self.machine.host,
            "connect": self.connect,
            "manifests": lambda: [STAGE],
            "folder": self.folder,
            "shared": self.shared,
            "cluster": "demo",
            "environ": {"KWOK_RUNTIME": "docker", "HOME": "/home/me"},
            "ports": lambda count: range(20000, 20000 + count),
        }
        return Kwok(**{**settings, **changes})

    def up(self, **changes: Any) -> Access:
        return self.provider(**changes).provision(OPTIONS, self.said.append)

    def connect(self, access: Access) -> FakeCluster:
        self.cluster.close = self._close  # type: ignore[method-assign] # counts
        return self.cluster

    def _close(self) -> None:
        self.closed += 1

    @property
    def work(self) -> Path:
        return self.folder / "clusters" / "demo"

    def created(self, call: Call) -> None:
        """Do what `kwokctl create cluster` does."""
        name = "kwok-demo"
        for part in ("pki", "pids", "logs", "bin"):
            (self.work / part).mkdir(parents=True)
        for file in ("ca.crt", "admin.crt", "admin.key"):
            (self.work / "pki" / file).write_text(f"content of {file}")
        pki = self.work / "pki"
        entry: dict[str, dict[str, str | Path]] = {
            "clusters": {
                "server": "https://127.0.0.1:20000",
                "certificate-authority": pki / "ca.crt",
            },
            "users": {"client-certificate": pki / "admin.crt", "client-key": pki / "admin.key"},
        }
        config = {
            section: [{"name": name, section[:-1]: {k: str(v) for k, v in value.items()}}]
            for section, value in entry.items()
        }
        (self.work / "kubeconfig.yaml").write_text(yaml.safe_dump(config))
        for crd in ("stages", "logs", "clusterlogs"):
            self.cluster.add(_definition(crd))
        self.started(call)

    def started(self, call: Call) -> None:
        """Do what `kwokctl start cluster` does."""
        for number, (program, tool) in enumerate(PROGRAMS.items(), start=100):
            (self.work / "pids" / f"{program}.pid").write_text(str(number))
            link = self.work / "bin" / program
            if not link.is_symlink():
                link.symlink_to(self.programs.path(tool))
            self.machine.start(number, str(link), f"--data={self.work}")


def _definition(plural: str) -> Manifest:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.kwok.x-k8s.io"},
        "spec": {
            "group": "kwok.x-k8s.io",
            "scope": "Cluster",
            "names": {"kind": plural.title(), "plural": plural},
            "versions": [{"name": "v1alpha1", "served": True}],
        },
    }


def _node_controller(manifest: Manifest) -> None:
    if manifest["kind"] == "Node":
        manifest["status"] = STATUS


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_new_cluster_has_its_daemons_objects_nodes_and_kubeconfigs(lab: Lab) -> None:
    access = lab.up()

    assert access == Access(lab.folder / "kubeconfig", "kwok-demo")
    assert lab.provider().state() is ProviderState.READY
    nodes = lab.cluster.list("v1", "Node")
    assert [n["metadata"]["name"] for n in nodes] == ["demo-1", "demo-2"]
    assert nodes[0]["metadata"]["labels"].items() >= {"cto": "true", "profile": "standard"}.items()
    assert lab.cluster.get(ObjectRef("v1", "ConfigMap", "default", "a-stage"))
    own = yaml.safe_load(access.kubeconfig.read_text())
    assert own["current-context"] == "kwok-demo"
    assert set(own["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}
    assert own["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:20000"
    shared = yaml.safe_load(lab.shared.read_text())
    assert [context["name"] for context in shared["contexts"]] == ["kwok-demo"]
    assert shared["users"] == own["users"]
    assert lab.closed > 0


def test_nobody_else_may_look_into_the_folder(lab: Lab) -> None:
    access = lab.up()

    assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(access.kubeconfig.stat().st_mode) == 0o600


def test_kwokctl_gets_no_settings_of_other_clusters_and_leaves_the_kubeconfig_alone(
    lab: Lab,
) -> None:
    lab.up()

    call = lab.runner.calls[0]
    config = str(lab.folder / "kwokctl.yaml")
    assert call.argv[1:] == (
        *("create", "cluster", "--config", config, "--kubeconfig", "", "--name", "demo"),
    )
    assert call.env["KWOK_RUNTIME"] is None
    assert call.env["KWOK_WORKDIR"] == str(lab.folder)
    assert "HOME" not in call.env


def test_a_running_cluster_is_left_alone(lab: Lab) -> None:
    lab.up()
    before = (len(lab.runner.calls), lab.machine.pids(), lab.shared.stat().st_mtime_ns)

    lab.up()

    assert (len(lab.runner.calls), lab.machine.pids(), lab.shared.stat().st_mtime_ns) == before


def test_of_a_running_cluster_only_our_own_nodes_are_looked_at(lab: Lab) -> None:
    """Somebody may have added thousands, for a load test; they need not be ready."""
    lab.up()
    lab.cluster.controllers.clear()
    for number in range(20):
        crowd = {"name": f"crowd-{number}", "labels": {"type": "kwok"}}
        lab.cluster.add({"apiVersion": "v1", "kind": "Node", "metadata": crowd})
    lab.cluster.calls.clear()
    lab.cluster.selectors.clear()

    lab.up()

    assert lab.cluster.selectors == [("Node", "cto=true")] * 2
    assert len(lab.cluster.calls) == 2


def test_a_node_of_ours_that_lost_its_label_is_found_by_its_name(lab: Lab) -> None:
    lab.up()
    node = lab.cluster.get(ObjectRef("v1", "Node", "", "demo-2")) or {}
    del node["metadata"]["labels"]["cto"]
    lab.cluster.add(node)

    lab.up()

    assert len(lab.cluster.list("v1", "Node")) == 2


def test_a_running_cluster_gets_the_nodes_that_are_missing(lab: Lab) -> None:
    lab.up()
    three = NodeOptions(nodes=3, profile="production", cpu=16, memory_gib=32)

    lab.provider().provision(three, lab.said.append)

    assert len(lab.cluster.list("v1", "Node")) == 3
    assert lab.said[-1] == "Adding 1 simulated node"


def test_a_stopped_cluster_is_started_again_and_foreign_pids_are_forgotten(lab: Lab) -> None:
    lab.up()
    lab.machine.reboot()
    lab.machine.start(100, "/usr/bin/somebody-else")
    assert lab.provider().state() is ProviderState.STOPPED
    pids: list[set[str]] = []
    (lab.work / "bin" / "etcd").unlink()

    def started(call: Call) -> None:
        pids.append({file.name for file in (lab.work / "pids").iterdir()})
        lab.machine.end(100)
        lab.started(call)

    lab.runner = FakeRunner().on("kwokctl", "start", reply=Reply(effect=started))
    lab.up()

    assert pids == [set()]
    assert lab.provider().state() is ProviderState.READY
    assert (lab.work / "bin" / "etcd").exists()


def test_a_half_made_cluster_is_removed_with_its_processes_and_made_anew(lab: Lab) -> None:
    lab.up()
    (lab.folder / "complete.json").unlink()
    (lab.folder / "rubbish").write_text("of an earlier run")
    inside = str(lab.work / "x")
    lab.machine.start(200, "/usr/bin/setpriv", "--", "/tools/kwokctl", "create", inside)
    lab.machine.start(300, "/usr/bin/vim", inside)
    lab.machine.start(301, "/usr/bin/kwokctl", "get", "clusters")
    lab.machine.start(302, f"{lab.folder}-other/clusters/demo/bin/etcd")
    assert lab.provider().state() is ProviderState.PARTIAL

    lab.up()

    assert {pid for pid, _ in lab.machine.killed} == {100, 101, 102, 103, 104, 200}
    assert lab.machine.pids() == {100, 101, 102, 103, 104, 300, 301, 302}
    assert not (lab.folder / "rubbish").exists()
    assert lab.provider().state() is ProviderState.READY


@pytest.mark.parametrize(
    "error",
    [
        ToolError("CTO-1500", "kwokctl ended with code 1", details="bind: in use"),
        WaitError("CTO-1700", "kwokctl did not end within 90 s"),
    ],
)
def test_a_failed_start_shows_the_logs_and_leaves_no_process(lab: Lab, error: Exception) -> None:
    def fail(call: Call) -> None:
        lab.created(call)
        (lab.work / "logs" / "etcd.log").write_text("one\ntwo\nthree\nfatal: no space\n")
        raise error

    lab.runner = FakeRunner().on("kwokctl", "create", reply=Reply(effect=fail))

    with pytest.raises(ToolError, match="kwokctl") as raised:
        lab.up()

    assert raised.value.code == "CTO-1504"
    assert "etcd: fatal: no space" in raised.value.details
    assert "etcd: one" not in raised.value.details
    assert str(lab.work / "logs") in raised.value.hint
    assert lab.machine.pids() == set()
    assert lab.provider().state() is ProviderState.PARTIAL


def test_an_interrupted_start_leaves_no_process(lab: Lab) -> None:
    def interrupted(call: Call) -> None:
        lab.created(call)
        raise Cancelled

    lab.runner = FakeRunner().on("kwokctl", "create", reply=Reply(effect=interrupted))

    with pytest.raises(Cancelled):
        lab.up()

    assert lab.machine.pids() == set()


def test_nodes_that_do_not_become_ready_are_an_error_in_the_end(lab: Lab) -> None:
    lab.cluster.controllers.clear()
    lab.cluster.fail_next("list", ApiError("CTO-1601", "no answer"), kind="Node", times=2000)

    with pytest.raises(ToolError, match="The simulated nodes did not become ready in 180 s") as e:
        lab.up()

    assert "no answer" in e.value.details


def test_a_node_that_still_has_a_taint_is_waited_for(lab: Lab) -> None:
    """A controller takes the taint away after the node became ready."""
    tainted = {"spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]}, "status": STATUS}
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "demo-1"}}
    lab.cluster.controllers.clear()
    lab.cluster.add({**manifest, **tainted})
    lab.cluster.add({**manifest, "metadata": {"name": "demo-2"}, "status": STATUS})
    lab.clock.at(5, lambda: lab.cluster.add({**manifest, "status": STATUS}))

    lab.up()

    assert sum(lab.clock.waits) >= 5


def test_destroy_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    lab.up()

    assert lab.provider().destroy()

    assert lab.machine.pids() == set()
    assert not (tmp_path / "state" / "cto").exists()
    assert (tmp_path / "state").exists()
    assert not lab.shared.exists()
    assert lab.provider().state() is ProviderState.ABSENT
    assert not lab.provider().destroy()
    assert lab.provider().leftovers() == ()


def test_destroy_keeps_what_others_have_in_the_kubeconfig(lab: Lab) -> None:
    lab.shared.parent.mkdir(parents=True)
    mine = {"contexts": [{"name": "mine", "context": {}}], "current-context": "mine"}
    lab.shared.write_text(yaml.safe_dump(mine))
    lab.up()
    assert yaml.safe_load(lab.shared.read_text())["current-context"] == "mine"

    lab.provider().destroy()

    left = yaml.safe_load(lab.shared.read_text())
    assert left["contexts"] == mine["contexts"]
    assert not left["clusters"]


def test_destroy_ends_processes_whose_folder_somebody_deleted(lab: Lab) -> None:
    lab.machine.start(7, str(lab.work / "bin" / "etcd"))
    assert lab.provider().state() is ProviderState.PARTIAL

    assert lab.provider().destroy()

    assert lab.machine.pids() == set()


def test_processes_that_do_not_end_are_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path, immortal=frozenset({102}))
    lab.up()

    with pytest.raises(ToolError, match="do not end: 102"):
        lab.provider().destroy()


def test_a_kubeconfig_that_was_made_for_us_goes_even_after_a_second_attempt(lab: Lab) -> None:
    lab.up()
    (lab.folder / "complete.json").unlink()
    lab.up()

    lab.provider().destroy()

    assert not lab.shared.exists()


def test_a_context_of_the_same_name_that_is_not_ours_stays(lab: Lab) -> None:
    lab.shared.parent.mkdir(parents=True)
    text = yaml.safe_dump({"contexts": [{"name": "kwok-demo", "context": {"cluster": "theirs"}}]})
    lab.shared.write_text(text)

    lab.up()
    lab.provider().destroy()

    assert lab.shared.read_text() == text
    assert any("KUBECONFIG=" in line for line in lab.said)


def test_no_kubeconfig_is_shared_if_none_is_named(lab: Lab) -> None:
    lab.up(shared=None)

    assert not lab.shared.exists()


def test_a_second_installer_is_told_who_is_at_work(lab: Lab) -> None:
    with exclusive(lab.folder), pytest.raises(LockedError) as error:
        lab.up()

    pid, host = lab.machine.host.pid, socket.gethostname()
    told = rf"Process {pid} on {re.escape(host)} makes .* since \d{{4}}-\d\d-\d\dT"
    assert re.match(told, error.value.message)
    assert f"ps -o args= -p {pid}" in error.value.hint
    assert error.value.exit_code == 10
    lab.up()


def test_a_lock_whose_file_was_removed_is_taken_anew(lab: Lab) -> None:
    """The last holder may remove the file between our opening and our locking it."""
    with exclusive(lab.folder):
        (lab.folder / "lock").unlink()
        with exclusive(lab.folder):
            assert (lab.folder / "lock").read_text().split()[0] == str(lab.machine.host.pid)


def test_the_version_comes_from_the_cluster_the_given_program_or_the_pin(lab: Lab) -> None:
    assert lab.provider().kube_version() == "v1.35.4"
    lab.programs.given = False
    assert lab.provider().kube_version() == "v1.34.4"
    lab.up()
    assert lab.provider().kube_version() == "v1.34.4"


def test_checks_name_every_program(lab: Lab) -> None:
    (tools,) = lab.provider().validate()

    assert tools.status is CheckStatus.PASSED
    assert len(tools.items) == 7


def test_a_program_that_cannot_be_had_fails_the_check(lab: Lab) -> None:
    lab.programs.broken = {"etcd"}

    (tools,) = lab.provider().validate()

    assert tools.status is CheckStatus.FAILED
    assert tools.items == ("etcd: etcd has no pinned checksum",)


def test_every_daemon_listens_on_loopback_and_nothing_is_downloaded() -> None:
    paths = {name: Path("/tools") / name for name in (*PROGRAMS.values(), "kubectl")}

    options = configuration(paths, "v1.34.4", range(1, 7))["options"]

    assert options["bindAddress"] == "127.0.0.1"
    assert options["etcdBinary"] == "/tools/etcd"
    assert len({value for key, value in options.items() if key.endswith("Port")}) == 6
    assert not {"Exec", "ClusterExec", "Attach"} & set(options["enableCRDs"])


def test_a_node_has_the_room_of_its_profile() -> None:
    status = node("n", OPTIONS)["status"]

    assert status["capacity"] == status["allocatable"]
    assert (status["capacity"]["cpu"], status["capacity"]["memory"]) == ("8", "16Gi")


def test_the_marker_is_written_last(lab: Lab) -> None:
    seen: list[bool] = []
    marker = lab.folder / "complete.json"
    lab.cluster.controllers.insert(0, lambda _: seen.append(marker.exists()))

    lab.up()

    assert seen
    assert not any(seen)
    assert json.loads((lab.folder / "complete.json").read_text()) == {"version": 1}
