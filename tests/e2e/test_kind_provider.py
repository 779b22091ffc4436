"""Provider kind with the real programs: made, killed, stopped, shared, removed.

Needs a Docker daemon with the lab's node image (CTO_NODE_IMAGE), and the programs kind and docker
in the lab's tools or on PATH. Everything is named `cto-e2e` and removed again.
"""

from __future__ import annotations

import os
import shutil
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
from cto.adapters.host import Host
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.errors import LockedError, PreflightError, ToolError
from cto.objects import ObjectRef, labels_of
from cto.ports import Access, Provider, ProviderState
from cto.result import CheckStatus
from e2e import kind_driver
from e2e.kind_driver import OPTIONS

pytestmark = pytest.mark.docker

NAME = "cto-e2e"
NODE = f"{NAME}-control-plane"
IMAGE = os.environ.get("CTO_NODE_IMAGE", "cto-lab/node:v1.34.4")
DOCKER = shutil.which("docker") or "docker"
MARKER = f"cto-kind-{NAME}"
MEMORY = ObjectRef("v1", "ConfigMap", "default", "memory")
ROOT = Path(__file__).resolve().parents[2]
# What the installer says just before it is killed.
MOMENTS = ("Ensuring node image", "Preparing nodes", "Starting control-plane", "Installing CNI")


def docker(*arguments: str, check: bool = True) -> str:
    argv = [DOCKER, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}\n{done.stderr}"
    return done.stdout.strip()


def containers() -> list[str]:
    """Return ours; others may come and go meanwhile."""
    return [name for name in docker("ps", "-a", "--format", "{{.Names}}").split() if NAME in name]


def volumes() -> set[str]:
    """Return those of our node."""
    names = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
    return set(docker("inspect", "--format", names, NODE, check=False).split())


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with kind and docker; skip, and say why, if something is missing."""
    cache = Path(os.environ.get("CTO_LAB_CACHE") or Path.home() / ".cache" / "cto-lab")
    folder = tmp_path_factory.mktemp("tools")
    for name in ("kind", "docker"):
        given = cache / "tools" / name
        found = given if given.exists() else shutil.which(name)
        if not found:
            pytest.skip(f"there is no program {name} in {cache / 'tools'} nor on PATH")
        (folder / name).symlink_to(found)
    argv = [str(folder / "docker"), "image", "inspect", IMAGE]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Docker does not answer, or has no {IMAGE}: {done.stderr.strip()}")
    return folder


class Lab:
    """A place for one cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "home" / ".kube" / "config"

    def provider(self) -> Provider:
        return kind_driver.provider(NAME)

    def driver(self) -> subprocess.Popen[str]:
        """Start an installer of its own, in a process group of its own."""
        path = os.pathsep.join(str(ROOT / name) for name in ("entrypoint", "airgap", "tests"))
        return subprocess.Popen(
            [sys.executable, kind_driver.__file__, NAME],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def killed_at(self, moment: str) -> None:
        """Let an installer begin, and kill it and nothing else as soon as it says this."""
        with self.driver() as driver:
            assert driver.stdout is not None
            said = [
                line
                for line in iter(driver.stdout.readline, "")
                if not self._hit(driver, line, moment)
            ]
            assert driver.wait() == -signal.SIGKILL, "".join(said)

    @staticmethod
    def _hit(driver: subprocess.Popen[str], line: str, moment: str) -> bool:
        if moment in line:
            driver.kill()
            return True
        return False


@pytest.fixture(scope="module")
def lab(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("kind"))
    settings = {
        "HOME": str(lab.folder / "home"),
        "CTO_STATE_DIR": str(lab.folder / "state"),
        "CTO_CACHE_DIR": str(lab.folder / "cache"),
        "CTO_TOOLS": str(tools),
        "CTO_NODE_IMAGE": IMAGE,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KUBECONFIG", raising=False)
        for name, value in settings.items():
            patch.setenv(name, value)
        lab.provider().destroy()
        yield lab
        # The last test, whichever that is, may have left no cluster.
        lab.provider().provision(OPTIONS, print)
        made = volumes()
        lab.provider().destroy()
        assert containers() == []
        assert made
        assert not made & set(docker("volume", "ls", "--quiet").split())
        assert not lab.kubeconfig.exists()


@pytest.fixture
def access(lab: Lab) -> Access:
    """A cluster that is up."""
    return lab.provider().provision(OPTIONS, print)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_it_makes_the_cluster_the_next_run_makes_it_anew(
    lab: Lab, moment: str
) -> None:
    lab.provider().destroy()
    lab.killed_at(moment)
    provider = lab.provider()
    assert provider.state() is ProviderState.PARTIAL
    with pytest.raises(ToolError):
        provider.access()
    if moment == MOMENTS[-1]:
        provider.provision(OPTIONS, print)
        assert provider.state() is ProviderState.READY
    else:
        assert provider.destroy()
        assert provider.state() is ProviderState.ABSENT


def test_two_at_once_the_second_names_the_first(lab: Lab) -> None:
    lab.provider().destroy()
    with lab.driver() as driver:
        assert driver.stdout is not None
        next(line for line in iter(driver.stdout.readline, "") if "Preparing" in line)
        with pytest.raises(LockedError) as caught:
            lab.provider().provision(OPTIONS, print)
        assert f"Process {driver.pid}" in caught.value.message
        with pytest.raises(LockedError):
            lab.provider().destroy()
        driver.stdout.read()
        assert driver.wait(600) == 0
    assert lab.provider().state() is ProviderState.READY


def test_a_cluster_that_is_there_is_left_as_it_is(lab: Lab, access: Access) -> None:
    cluster = KubeCluster(access, clock=SystemClock())
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "memory", "namespace": "default"},
        }
    )
    identity = docker("inspect", "--format", "{{.Id}}", NODE)
    begun = time.monotonic()
    assert lab.provider().provision(OPTIONS, print) == access
    assert time.monotonic() - begun < 30
    assert docker("inspect", "--format", "{{.Id}}", NODE) == identity
    nodes = cluster.list("v1", "Node")
    assert [labels_of(node)["profile"] for node in nodes] == ["minimal"]
    assert [labels_of(node)["cto"] for node in nodes] == ["true"]
    cluster.close()


def test_a_stopped_node_is_started_and_nothing_is_lost(lab: Lab, access: Access) -> None:
    cluster = KubeCluster(access, clock=SystemClock())
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "memory", "namespace": "default"},
        }
    )
    docker("stop", NODE)
    assert lab.provider().state() is ProviderState.STOPPED
    with pytest.raises(ToolError):
        lab.provider().access()
    lab.provider().provision(OPTIONS, print)
    assert cluster.get(MEMORY) is not None
    cluster.close()


def test_a_restarted_node_comes_back_by_itself(lab: Lab, access: Access) -> None:
    docker("restart", NODE)
    policy = docker("inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}", NODE)
    assert policy == "unless-stopped"
    lab.provider().provision(OPTIONS, print)
    cluster = KubeCluster(access, clock=SystemClock())
    assert cluster.server_version().startswith("v1.")
    cluster.close()


def test_the_user_gets_an_entry_in_the_kubeconfig_and_published_ports(
    lab: Lab, access: Access
) -> None:
    document = yaml.safe_load(lab.kubeconfig.read_text(encoding="utf-8"))
    assert document["current-context"] == access.context == f"kind-{NAME}"
    users = Existing(
        Access(lab.kubeconfig, access.context),
        connect=lambda given: KubeCluster(given, clock=SystemClock()),
        host=Host(),
    )
    assert users.kube_version().startswith("v1.")
    reach = lab.provider().reach()
    assert reach.kubeconfig is None
    assert set(reach.ports) == {30080, 30300, 31200, 31443, 32746}
    published = docker("port", NODE).splitlines()
    assert f"30080/tcp -> 127.0.0.1:{reach.ports[30080]}" in published
    assert all("-> 127.0.0.1:" in line for line in published)


def test_a_cluster_of_that_name_which_is_not_ours_is_never_touched(
    lab: Lab, access: Access
) -> None:
    docker("rename", MARKER, "cto-e2e-hidden")
    try:
        provider = lab.provider()
        failed = [c for c in provider.validate() if c.status is CheckStatus.FAILED]
        assert [check.code for check in failed] == ["CTO-1424"]
        for call in (
            provider.state,
            provider.destroy,
            lambda: provider.provision(OPTIONS, print),
        ):
            with pytest.raises(PreflightError) as caught:
                call()
            assert caught.value.code == "CTO-1424"
        assert docker("inspect", "--format", "{{.State.Running}}", NODE) == "true"
    finally:
        docker("rename", "cto-e2e-hidden", MARKER)
    assert lab.provider().access() == access
