"""Nodes behind a proxy that writes down what it is asked for.

It refuses everything: what goes through it is on its list, and whatever depended on it fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .daemon import INNER, Daemon
from .engine import Engine
from .installer import CLUSTER, SOCKET, Installer, cluster_ranges
from .moments import Run, says
from .probes import assert_healthy

pytestmark = [pytest.mark.docker, pytest.mark.slow]

NAME = "cto-e2e-proxy"
PORT = 3128
URL = f"http://{INNER}:{PORT}"
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
NODES = (f"{CLUSTER}-control-plane", f"{CLUSTER}-worker", f"{CLUSTER}-worker2")
STRANGER = "asked.example.com"
EXCEPTED = "inside.example.com"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
PROXY = f"""
import socketserver

class Refusal(socketserver.StreamRequestHandler):
    def handle(self):
        print(self.rfile.readline().decode().strip(), flush=True)
        self.wfile.write(b"HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\n\\r\\n")

socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("{INNER}", {PORT}), Refusal).serve_forever()
"""


@pytest.fixture
def asked(own_daemon: Daemon, installer: Installer) -> Iterator[Engine]:
    """Run the proxy where every network of Docker reaches it."""
    engine = own_daemon.engine
    run = ["run", "--detach", f"--name={NAME}", "--network=host", "--entrypoint=python3"]
    engine.run(*run, installer.image, "-c", PROXY)
    yield engine
    engine.run("rm", "--force", NAME)


@pytest.fixture
def enough_watchers(own_daemon: Daemon) -> Iterator[None]:
    """Let three nodes have what the preflight asks for, as its fix says."""
    before = INSTANCES.read_text()
    INSTANCES.write_text(str(max(512, int(before))))
    yield
    INSTANCES.write_text(before)


@pytest.mark.usefixtures("enough_watchers")
def test_nothing_of_a_cluster_is_asked_through_the_proxy(
    asked: Engine, installer: Installer
) -> None:
    installer.flags = [f"--env={name}={URL}" for name in VARIABLES]
    assert_healthy(installer.install("minimal", "--nodes", "3"), asked)
    assert installer.install("minimal")["changes"] == []
    excepted = {node: exceptions(asked, node) for node in NODES}
    for node in NODES:
        assert set(NODES) <= excepted[node]
        assert {*cluster_ranges(asked), *asked.networks()["kind"]} <= excepted[node]
    # The API server has the proxy too, and asks kubelets and webhooks without it.
    manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
    assert URL in asked.out("exec", NODES[0], "cat", manifest)
    assert logs_of_every_node(installer) == set(NODES)

    # What nobody excepted does go that way: else an empty list would prove nothing.
    request = ["curl", "--silent", "--max-time", "10", f"http://{STRANGER}/"]
    asked.run("exec", NODES[1], *request)
    assert asked.out("logs", NAME).splitlines() == [f"GET http://{STRANGER}/ HTTP/1.1"]
    assert installer.uninstall("--cluster")["cluster"] is True


@pytest.mark.parametrize("daemon_of_entry", ["default", f"unix://{SOCKET}"])
def test_nor_through_one_that_docker_itself_is_told_of(
    asked: Engine, installer: Installer, tmp_path: Path, daemon_of_entry: str
) -> None:
    """Docker's config.json: it puts the proxy into every container, and its own exceptions.

    An entry for the daemon goes before the default one, with all that it has.
    """
    proxies = {"default": {"httpProxy": "http://203.0.113.9:3128", "noProxy": "wrong.example.com"}}
    proxies[daemon_of_entry] = {"httpProxy": URL, "httpsProxy": URL, "noProxy": EXCEPTED}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}))
    installer.flags = [f"--volume={tmp_path}:/root/.docker:ro"]
    run = Run(installer, "install", "--profile", "minimal")
    run.until(says(r"✓ Make the kind cluster"))

    node = NODES[0]
    told = {name: asked.out("exec", node, "printenv", name) for name in VARIABLES}
    assert told == dict.fromkeys(VARIABLES, URL)
    excepted = exceptions(asked, node)
    assert {EXCEPTED, node, *cluster_ranges(asked), *asked.networks()["kind"]} <= excepted
    assert "wrong.example.com" not in excepted
    assert exceptions(asked, node, "no_proxy") == excepted
    # It pulls from the registry of the bundle, though the proxy lets nothing through.
    assert run.end() == 0, run.text
    assert asked.out("logs", NAME).splitlines() == []


def exceptions(engine: Engine, node: str, name: str = "NO_PROXY") -> set[str]:
    """Return what NO_PROXY says on a node."""
    return set(engine.out("exec", node, "printenv", name).split(","))


def logs_of_every_node(installer: Installer) -> set[str]:
    """Read a pod's log on each node, by the API server; return the nodes that gave one."""
    pods = json.loads(installer.kubectl("get", "pods", "--all-namespaces", "-o", "json"))["items"]
    found = set()
    for pod in pods:
        meta, node = pod["metadata"], pod["spec"]["nodeName"]
        if node not in found:
            installer.kubectl("logs", "-n", meta["namespace"], meta["name"], "--all-containers")
            found.add(node)
    return found
