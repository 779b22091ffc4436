"""The platform on a network that enforces NetworkPolicies: what it needs works, the rest does not.

Two nodes, so that the API server, NodePorts and pods also come from another one: what its own node
asks of a pod is never kept out. Every connection that is refused is made once the policies are
switched off, by the same pod: nothing else is in its way.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from cto.objects import dump_yaml
from fakes.deliveries import labelled
from fakes.sensor import subscriptions

from . import enforcer
from .agents import server
from .conftest import sweep
from .daemon import OUTSIDE, Daemon, lacking
from .engine import Engine
from .events import READY_S, Events, apply, get, waited
from .forge import CLONE_URL, HOST, Forge
from .image import Image
from .installer import CLUSTER, INSTALL_S, KUBE, Installer
from .namespaces import inside
from .probes import assert_healthy
from .real import assert_a_workflow_runs, needs
from .test_real_programs import ended, runs

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    needs("argo-events", "nats-server", "workflow-controller", "argoexec", enforcer.NAME),
]

NODES = [f"{CLUSTER}-control-plane", f"{CLUSTER}-worker"]
FILES = ("--config", f"{KUBE}/forge.yaml", "--config", f"{KUBE}/network.yaml")
# At the other end of the cable: a public address (that range counts as one: RFC 2544), a private
# one, and that of clouds' metadata.
INTERNET, PRIVATE, METADATA = "198.18.0.1", "10.77.0.1", "169.254.169.254"
ADDRESSES = {INTERNET: (80, 443), PRIVATE: (443,), METADATA: (80,)}

# Pods that try, with the labels that they are known by, and the nodes that they are on.
PODS = {
    "cto/agent": (
        {"app.kubernetes.io/managed-by": "cto-controller", "app.kubernetes.io/component": "agent"},
        NODES[1],
    ),
    "monitoring/scraper": ({"app.kubernetes.io/name": "victoria-metrics-single"}, NODES[1]),
    "strangers/stranger": ({"app": "stranger"}, NODES[1]),
    "strangers/other": ({"app": "stranger"}, NODES[0]),
}
# Who reaches what; all of it where the policies are off. NODE0 and NODE1 are their addresses.
CLOSED = [
    "eventbus-default-js-svc.argo-events.svc:4222",
    "argocd-redis.argocd.svc:6379",
    "argocd-repo-server.argocd.svc:8081",
    "victoria-metrics.monitoring.svc:8428",
    "victoria-logs.monitoring.svc:9428",
]
INTERFACES = ["grafana.monitoring.svc:80", "argocd-server.argocd.svc:80"]
NODE_PORTS = ["NODE0:6443", "NODE0:10250", "NODE1:10250", "NODE0:30300", "NODE1:30300"]
OUTER = [f"{PRIVATE}:443", f"{METADATA}:80", f"{INTERNET}:80"]
API = "kubernetes.default.svc:443"
REFUSED = {
    "cto/agent": [API, *CLOSED, *INTERFACES, *NODE_PORTS, *OUTER, "controller.cto.svc:80"],
    "monitoring/scraper": [],
    "strangers/stranger": CLOSED,
    "strangers/other": CLOSED,
}
MADE = {
    "cto/agent": [f"{INTERNET}:443", f"{HOST}:443"],
    "monitoring/scraper": [API, "NODE0:10250", "NODE1:10250"],
    "strangers/stranger": [API, *INTERFACES, *NODE_PORTS, *OUTER],
    "strangers/other": INTERFACES,
}

# Names what is reached, all of it tried at once.
TRY = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def reaches(target):
    host, _, port = target.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True

with ThreadPoolExecutor(32) as pool:
    found = zip(sys.argv[1:], pool.map(reaches, sys.argv[1:]))
    print(json.dumps([target for target, made in found if made]))
"""


@dataclass(frozen=True)
class Network:
    """The installed platform, and how its configuration is changed."""

    installer: Installer
    events: Events
    forge: Forge
    agent_networks: tuple[str, ...] = ()

    def install(self, **platform: Any) -> dict[str, Any]:
        configure(self.installer, agent_networks=[*self.agent_networks], **platform)
        return self.installer.install("standard", *FILES)

    def reached(self) -> dict[str, set[str]]:
        """Let every pod try all that a table says of it, and return what it reaches."""
        return {name: self.tried(name, {*MADE[name], *REFUSED[name]}) for name in PODS}

    def tried(self, pod: str, targets: Iterable[str]) -> set[str]:
        nodes = {f"NODE{number}": self.address(node) for number, node in enumerate(NODES)}
        parts = {target: target.split(":") for target in targets}
        real = {f"{nodes.get(host, host)}:{port}": name for name, (host, port) in parts.items()}
        namespace, name = pod.split("/")
        words = ("exec", "-n", namespace, name, "--", "python3", "-c", TRY, *real)
        return {real[target] for target in json.loads(self.installer.kubectl(*words))}

    def address(self, node: str) -> str:
        path = 'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'
        return self.installer.kubectl("get", "node", node, "-o", path).split()[0]

    def asked(self, pod: str, port: int, path: str) -> str:
        """Ask a pod of the monitoring on its node, whose questions are always let in."""
        words = ("get", "pod", pod, "-n", "monitoring", "-o", "json")
        found = json.loads(self.installer.kubectl(*words))
        url = f"http://{found['status']['podIP']}:{port}/{path}"
        curl = ("curl", "--silent", "--fail", "--globoff", url)
        return self.installer.engine.out("exec", found["spec"]["nodeName"], *curl)


def configure(installer: Installer, **platform: Any) -> None:
    # Room for an agent besides the platform on a small machine.
    agents = {"rex": {"resources": {"cpu": "100m", "memory": "128Mi"}}}
    settings = {"cluster": {"nodes": len(NODES)}, "platform": platform, "agents": agents}
    (installer.kube / "network.yaml").write_text(dump_yaml(settings))


@pytest.fixture(scope="module")
def outside(daemon: Daemon | None) -> Iterator[None]:
    """Listen at the other end of the cable; the kernel takes connections that nobody accepts."""
    if daemon is None:
        pytest.skip(f"a daemon of the tests' own lacks: {', '.join(lacking())}")
    with ExitStack() as kept:
        for address, ports in ADDRESSES.items():
            if address != INTERNET:
                words = ["ip", "-n", OUTSIDE, "address", "add", f"{address}/32", "dev", "lo"]
                subprocess.run(words, check=True)
            for port in ports:
                there = partial(socket.create_server, (address, port))
                kept.enter_context(inside(daemon.cable, there))
        yield


@pytest.fixture(scope="module")
def network(
    engine: Engine, image: Image, outside: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Network]:
    """Install on two nodes that enforce policies before the first pod of the platform is there."""
    installer = Installer(engine, image.reference, tmp_path_factory.mktemp("kube"))
    forge = Forge()
    (installer.kube / "forge.yaml").write_text(forge.config())
    configure(installer)
    try:
        running = installer.start("install", "--profile", "standard", *FILES, "--output", "json")
        enforcer.enforce(engine, NODES, tmp_path_factory.mktemp("enforcer"))
        done = running.wait(INSTALL_S)
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        events = Events.of(installer, json.loads(done.stdout)["data"])
        forge.start(installer)
        # The stand-in for GitHub is in the cluster: a private network, which has to be named.
        wanted = ("get", "pod", "github", "-n", "git", "-o", "jsonpath={.status.podIP}")
        made = Network(installer, events, forge, (f"{installer.kubectl(*wanted)}/32",))
        for name, (labels, node) in PODS.items():
            start(installer, name, labels, node)
        assert_healthy(made.install(), engine)
        yield made
    finally:
        sweep(engine)


def start(installer: Installer, name: str, labels: Mapping[str, str], node: str) -> None:
    """Start a pod that waits to be told what to try."""
    namespace, _, pod = name.partition("/")
    _, _, tries, _ = server(pod, 1, "exec sleep infinity", {})
    metadata = {"name": pod, "namespace": namespace, "labels": dict(labels)}
    (container,) = tries["spec"]["containers"]
    plain = {key: container[key] for key in ("name", "image", "command", "securityContext")}
    spec = {
        "containers": [plain],
        "securityContext": tries["spec"]["securityContext"],
        "nodeName": node,
    }
    there = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    items = [there, {**tries, "metadata": metadata, "spec": spec}]
    apply(installer, dump_yaml({"apiVersion": "v1", "kind": "List", "items": items}))
    words = ("-n", namespace, "--for=condition=Ready", "--timeout=120s")
    installer.kubectl("wait", f"pod/{pod}", *words)


def test_a_labelled_issue_ends_in_a_pull_request(network: Network) -> None:
    """Through the node's port, source, bus, Sensor, controller, Job and git."""
    installer, events = network.installer, network.events
    events.heard("flow", subscriptions(get(installer, "sensor/flow")))
    issue = labelled(body="Say hello.")
    issue["repository"]["clone_url"] = CLONE_URL
    assert events.deliver([str(uuid4())], event="issues", payload=issue) == [200]
    waited("no run of a delivery", READY_S, lambda: runs(installer, "label"))
    waited("the run does not end", READY_S, lambda: ended(runs(installer, "label")))
    (run,) = runs(installer, "label")
    (pull,) = network.forge.pulls(installer)
    assert run["status"].get("pullRequestUrl") == pull["html_url"], run["status"]


def test_a_workflow_runs(network: Network) -> None:
    assert_a_workflow_runs(network.installer)


def test_what_has_metrics_is_scraped_by_nobody_else(network: Network) -> None:
    """But for what is open to all: its port is that of an interface, or of health checks."""
    targets = annotated(network.installer)
    assert {*targets.values()} >= {"argo-events", "argo", "argocd", "cto", "logging", "monitoring"}
    assert network.tried("monitoring/scraper", {*targets}) == {*targets}
    to_all = {name for name, where in targets.items() if where in ("cto", "kube-system")}
    to_all |= {name for name in targets if name.endswith(":3000")}
    assert network.tried("strangers/stranger", {*targets}) == to_all


def annotated(installer: Installer) -> dict[str, str]:
    """Return the namespaces of what says that it has metrics, by host and port."""
    found = {}
    for item in json.loads(installer.kubectl("get", "pods,services", "-A", "-o", "json"))["items"]:
        metadata, status = item["metadata"], item["status"]
        told = metadata.get("annotations", {})
        if told.get("prometheus.io/scrape") == "true":
            host = status.get("podIP", f"{metadata['name']}.{metadata['namespace']}.svc")
            found[f"{host}:{told['prometheus.io/port']}"] = metadata["namespace"]
    return found


def test_logs_of_every_node_are_collected(network: Network) -> None:
    query = "select/logsql/query?query=*+|+uniq+by+(kubernetes.pod_node_name)"

    def nodes() -> set[str]:
        lines = network.asked("victoria-logs-0", 9428, query).splitlines()
        return {json.loads(line)["kubernetes.pod_node_name"] for line in lines}

    waited("logs of a node are missing", READY_S, lambda: nodes() == {*NODES})


def test_the_api_server_reaches_webhooks(network: Network) -> None:
    where = "cnpg-system/services/https:cnpg-webhook-service:443"
    path = f"/api/v1/namespaces/{where}/proxy/"
    words = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get", "--raw", path)
    done = network.installer.engine.run("exec", NODES[0], *words, code=None)
    # The program has no such page; what is not reached is called so.
    assert "error trying to reach service" not in done.stderr, done.stderr


def test_only_what_is_listed_is_open_until_it_is_switched_off(network: Network) -> None:
    closed = {name: {*targets} for name, targets in MADE.items()}
    opened = {name: {*targets, *REFUSED[name]} for name, targets in MADE.items()}
    assert network.reached() == closed
    try:
        network.install(network_policies=False)
        assert network.installer.kubectl("get", "networkpolicies", "-A", "-o", "name") == ""
        waited("all is not open", 60, lambda: network.reached() == opened)
    finally:
        network.install()
    waited("all is not closed again", 60, lambda: network.reached() == closed)
    # It ends with another code where a check fails.
    network.installer.run("status")
