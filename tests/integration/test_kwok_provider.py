"""Provider kwok with the real programs: made, killed, stopped, shared, removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cto.adapters.clock import SystemClock
from cto.adapters.existing import Existing
from cto.adapters.host import Host, Process
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.kwok.config import PROGRAMS
from cto.adapters.kwok.provider import Kwok
from cto.engine.lock import ClusterLock
from cto.engine.nodes import Images
from cto.engine.ownership import ComponentNeeds
from cto.engine.preflight import Needs, VersionRange, cluster_checks
from cto.errors import LockedError
from cto.objects import ObjectRef
from cto.ports import ProviderState
from cto.result import CheckStatus
from integration import kwok_driver
from integration.kwok_driver import OPTIONS

pytestmark = pytest.mark.lab

STAGES = "stages.kwok.x-k8s.io"
MEMORY = ObjectRef("v1", "ConfigMap", "default", "memory")
ROOT = Path(__file__).resolve().parents[2]
# So long after it began to make the cluster the installer is killed. It takes about four seconds.
MOMENTS_S = (0.1, 0.8, 1.6, 2.8)


@pytest.fixture(scope="module")
def tools() -> Path:
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    needed = (*PROGRAMS.values(), "kwokctl", "kubectl")
    missing = [name for name in needed if not (cache / "tools" / name).exists()]
    if missing:
        pytest.skip(f"not in {cache / 'tools'}: {', '.join(missing)} (make test prepares them)")
    return cache / "tools"


class Lab:
    """A place for one cluster."""

    def __init__(self, tools: Path, folder: Path) -> None:
        self.tools = tools
        self.state = folder / "state" / "cto" / "kwok" / "it"
        self.kubeconfig = folder / "home" / ".kube" / "config"

    def provider(self) -> Kwok:
        return kwok_driver.provider(self.tools, self.state, self.kubeconfig, "it")

    def driver(self) -> subprocess.Popen[str]:
        """Start an installer of its own, in a process group of its own."""
        argv = [kwok_driver.__file__, self.tools, self.state, self.kubeconfig, "it"]
        path = os.pathsep.join(str(ROOT / name) for name in ("entrypoint", "tests"))
        return subprocess.Popen(
            [sys.executable, *map(str, argv)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def daemons(self) -> list[Process]:
        inside = f"{os.path.realpath(self.state)}/"
        return [p for p in Host().processes() if any(inside in word for word in p.argv)]

    def names(self) -> list[str]:
        return sorted(Path(process.argv[0]).name for process in self.daemons())


@pytest.fixture(scope="module")
def lab(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tools, tmp_path_factory.mktemp("kwok"))
    yield lab
    lab.provider().destroy()
    assert lab.daemons() == []


@pytest.fixture
def up(lab: Lab) -> Iterator[KubeCluster]:
    cluster = KubeCluster(lab.provider().provision(OPTIONS, print), clock=SystemClock())
    yield cluster
    cluster.close()


def test_a_cluster_is_up_in_ten_seconds_and_outlives_its_installer(lab: Lab) -> None:
    lab.provider().destroy()
    begun = time.monotonic()
    with lab.driver() as driver:
        assert driver.wait(120) == 0
        seconds = time.monotonic() - begun
        # The whole group, as a closed terminal would; the driver itself has ended.
        with pytest.raises(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)

    # Ten seconds on a machine that has nothing else to do; 4 s were measured on two cores.
    waiting_for_a_core = os.getloadavg()[0] / (os.cpu_count() or 1)
    assert seconds <= 10 * max(1.0, waiting_for_a_core)
    assert lab.provider().state() is ProviderState.READY
    assert lab.names() == sorted(PROGRAMS)
    assert len({os.getsid(daemon.pid) for daemon in lab.daemons()}) == len(PROGRAMS)


def test_all_daemons_listen_on_loopback_only(lab: Lab, up: KubeCluster) -> None:
    assert up.server_version()
    sockets = {
        str(link.readlink())
        for daemon in lab.daemons()
        for link in Path(f"/proc/{daemon.pid}/fd").iterdir()
    }
    listening = [
        fields[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, Path(table).read_text().splitlines()[1:])
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets
    ]

    assert len(listening) >= 6
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def test_nodes_are_ready_and_known_as_simulated(lab: Lab, up: KubeCluster) -> None:
    nodes = up.list("v1", "Node", labels="cto=true,profile=production")
    existing = Existing(lab.provider().access(), connect=lambda _: up, host=Host())

    assert len(nodes) == 3
    assert existing.simulated
    assert [check.status for check in existing.validate()] == [CheckStatus.PASSED]
    assert existing.kube_version() == lab.provider().kube_version()


def test_a_running_cluster_is_left_alone(lab: Lab, up: KubeCluster) -> None:
    before = lab.daemons()

    lab.provider().provision(OPTIONS, print)

    assert sorted(p.pid for p in lab.daemons()) == sorted(p.pid for p in before)
    assert up.uid()


def test_a_stopped_cluster_comes_back_with_its_objects(lab: Lab, up: KubeCluster) -> None:
    metadata = {"name": MEMORY.name, "namespace": MEMORY.namespace}
    up.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
    for daemon in lab.daemons():
        Host().end(daemon, force=True)
    while lab.daemons():
        time.sleep(0.05)
    assert lab.provider().state() is ProviderState.STOPPED

    access = lab.provider().provision(OPTIONS, print)

    assert lab.names() == sorted(PROGRAMS)
    again = KubeCluster(access, clock=SystemClock())
    found = again.get(MEMORY)
    again.close()
    assert found
    assert found["data"] == {"a": "b"}


@pytest.mark.parametrize("moment_s", MOMENTS_S)
def test_killed_at_any_moment_the_next_run_makes_one_whole_cluster(
    lab: Lab, moment_s: float
) -> None:
    lab.provider().destroy()
    with lab.driver() as driver:
        assert driver.stdout
        driver.stdout.readline()
        time.sleep(moment_s)
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(10)

    lab.provider().provision(OPTIONS, print)

    assert lab.names() == sorted(PROGRAMS)
    assert lab.provider().state() is ProviderState.READY


def test_of_two_installers_the_second_one_is_told_of_the_first(lab: Lab) -> None:
    lab.provider().destroy()
    with lab.driver() as driver:
        assert driver.stdout
        driver.stdout.readline()
        with pytest.raises(LockedError, match=f"Process {driver.pid} "):
            lab.provider().provision(OPTIONS, print)
        assert driver.wait(60) == 0

    assert lab.provider().state() is ProviderState.READY


def test_preflight_passes_and_names_what_is_foreign(up: KubeCluster) -> None:
    parts = (
        ComponentNeeds(name="a", namespace="fresh", release="a"),
        ComponentNeeds(
            name="b", namespace="kube-public", release="b", crds=("stages.kwok.x-k8s.io",)
        ),
    )
    versions = VersionRange((1, 31), (1, 99))
    needs = Needs(
        kubernetes=versions,
        components=parts[:1],
        images=Images(frozenset({"amd64"}), "the bundle"),
        volumes=True,
        cpu="4",
        memory="8Gi",
    )

    passed = cluster_checks(up, needs, clock=SystemClock())
    foreign = cluster_checks(up, Needs(kubernetes=versions, components=parts))[4]

    assert {check.status for check in passed} == {CheckStatus.PASSED}, passed
    assert foreign.items == (
        "Namespace kube-public",
        f"CustomResourceDefinition {STAGES}",
    )


def test_the_lock_of_a_real_api_server_is_taken_renewed_and_given_back(up: KubeCluster) -> None:
    lease = ObjectRef("coordination.k8s.io/v1", "Lease", "cto-system", "cto-lock")

    def spec() -> dict[str, str]:
        found = up.get(lease)
        assert found
        return dict(found["spec"])

    with ClusterLock(up, SystemClock(), Host(), duration_s=3) as lock:
        first = spec()
        with pytest.raises(LockedError, match=f"Process {os.getpid()} "):
            ClusterLock(up, SystemClock(), Host()).acquire()
        while (second := spec())["renewTime"] == first["renewTime"]:
            time.sleep(0.1)
        assert not lock.lost.is_set()

    assert second["holderIdentity"] == first["holderIdentity"]
    assert "holderIdentity" not in spec()


def test_the_user_s_kubeconfig_works_for_kubectl(lab: Lab, up: KubeCluster) -> None:
    assert up.uid()
    kubectl: list[str | Path] = [lab.tools / "kubectl", "--context", "kwok-it"]
    kubectl += ["--kubeconfig", lab.kubeconfig]

    out = subprocess.check_output([*kubectl, "get", "nodes", "-o", "name"], text=True)

    assert out.split() == ["node/it-1", "node/it-2", "node/it-3"]


def test_destroy_leaves_no_process_no_file_and_no_entry(lab: Lab, up: KubeCluster) -> None:
    assert up.uid()
    mine = {"name": "mine", "context": {"cluster": "c", "user": "u"}}
    config = yaml.safe_load(lab.kubeconfig.read_text())
    config["contexts"].append(mine)
    lab.kubeconfig.write_text(yaml.safe_dump(config))

    assert lab.provider().destroy()

    assert lab.daemons() == []
    assert not lab.state.parent.parent.exists()
    assert yaml.safe_load(lab.kubeconfig.read_text())["contexts"] == [mine]
    assert lab.provider().state() is ProviderState.ABSENT
    lab.kubeconfig.unlink()
