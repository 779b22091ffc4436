"""From `docker run IMAGE install` to nothing left, on a machine without a way out."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from .agents import assert_agents_work
from .daemon import CABLE_RANGES, Daemon
from .delivery import received, registries, repeated, sent
from .engine import Engine
from .installer import CLUSTER, KUBE, Installer, cluster_ranges
from .inventory import Inventory, entries
from .probes import assert_healthy
from .watch import CABLE, Inside, Report, Watch

pytestmark = pytest.mark.docker

NODE, WORKER = f"{CLUSTER}-control-plane", f"{CLUSTER}-worker"
# A step of ten minutes; told five seconds after the node's first word of it.
NAMED_WITHIN_S = 60
STRANGE = """
components:
  argo-events: {values: {global: {image: {tag: v0.0.0-nobody-has}}}}
  argo-workflows: {values: {controller: {image: {registry: registry.invalid}}}}
"""
SYSTEM = {"default", "kube-node-lease", "kube-public", "kube-system", "local-path-storage"}


def belongs(engine: Engine) -> Inside:
    """Return what is the cluster's, as the daemon and the API server know it."""
    networks = engine.networks()
    subnets = [subnet for found in networks.values() for subnet in found]
    ranges = cluster_ranges(engine)
    # Docker's name server knows them as NAME and as NAME.NETWORK.
    names = engine.containers()
    long = [f"{name}.{network}" for name in names for network in networks]
    return Inside.of([*subnets, *ranges, *CABLE_RANGES], [*names, *long])


def namespaces(installer: Installer) -> set[str]:
    found = installer.kubectl("get", "namespaces", "-o", "name").split()
    return {name.removeprefix("namespace/") for name in found}


def profiles(installer: Installer) -> list[str]:
    """Return what each node says that it carries."""
    wanted = "jsonpath={.items[*].metadata.labels.profile}"
    return installer.kubectl("get", "nodes", "-l", "cto=true", "-o", wanted).split()


def assert_real_programs_work(installer: Installer) -> None:
    """Two programs are no stand-ins: what is written to them can be read again."""

    def pod(port: int) -> str:
        first = "subsets[0]"
        wanted = f"{{.items[?(@.{first}.ports[0].port=={port})].{first}.addresses[0].ip}}"
        found = installer.kubectl("get", "endpoints", "-A", "-o", f"jsonpath={wanted}")
        return f"{found.split()[0]}:{port}"

    def curl(*words: str) -> str:
        return installer.engine.out("exec", NODE, "curl", "--silent", "--max-time", "10", *words)

    metrics = f"http://{pod(8428)}/api/v1"
    curl("--data-binary", 'written{by="test"} 42', f"{metrics}/import/prometheus")
    end = time.monotonic() + 60
    while not (read := curl(f"{metrics}/export?match[]=written", "--globoff")):
        assert time.monotonic() < end, "VictoriaMetrics does not give back what it got"
        time.sleep(1)
    assert json.loads(read)["values"] == [42]
    # Argo CD's, with the password that its chart makes: read where it is used.
    secret = "get secret argocd-redis --namespace argocd --output jsonpath={.data.auth}"
    read = f"kubectl --kubeconfig /etc/kubernetes/admin.conf {secret} | base64 --decode"
    talk = f"exec 3<>/dev/tcp/{pod(6379).replace(':', '/')}; word=$({read})"
    talk = f"{talk}; printf 'AUTH %s\\nPING\\n' \"$word\" >&3; head -2 <&3"
    answers = installer.engine.out("exec", NODE, "bash", "-c", talk)
    assert answers.split() == ["+OK", "+PONG"]


def assert_kubelets_are_trusted(installer: Installer) -> None:
    """Who knows the cluster's authority may ask each one, as VictoriaMetrics does with a token."""
    wanted = 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}'
    found = installer.kubectl("get", "nodes", "-o", wanted).split()
    ask = ("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}")
    trust = ("--cacert", "/etc/kubernetes/pki/ca.crt")
    answers = [
        installer.engine.out("exec", NODE, *ask, *trust, f"https://{address}:10250/metrics")
        for address in found
    ]
    assert answers == ["401", "401"]


def assert_strange_images_are_named(installer: Installer) -> None:
    """A tag and a host that no bundle has: each is told as what it is, long before a timeout."""
    config = installer.kube / "strange.yaml"
    config.write_text(STRANGE)
    failed = installer.install("minimal", "--config", f"{KUBE}/{config.name}", code=7)
    config.unlink()
    steps = {step["id"]: step for step in failed["report"]["steps"]}
    for component in ("argo-events", "argo-workflows"):
        step = steps[f"ready:{component}"]
        assert step["error"] == "CTO-1712", step
        assert step["seconds"] < NAMED_WITHIN_S, step


def assert_measured(report: Report, *containers: str) -> None:
    """An empty list proves nothing of what was not heard."""
    assert report.not_measured == [], str(report)
    assert {CABLE, *containers} <= set(report.taps), str(report)


def look_as_nobody(installer: Installer) -> None:
    """Whoever has no user, no home, and no folder to write to can look, and plan."""
    file = installer.kube / "for-nobody"
    file.write_text(installer.kubeconfig.read_text())
    file.chmod(0o644)
    kubeconfig = [f"--volume={file}:/kubeconfig:ro", "--env=KUBECONFIG=/kubeconfig"]
    nobody = ["--user=12345:12345", "--read-only", "--network=host", *kubeconfig]
    context = ("--context", f"kind-{CLUSTER}")
    rows = installer.data("status", *context, socket=False, flags=nobody)["components"]
    assert [row["release"] for row in rows if row["objects"]] == ["deployed"] * 4
    words = ("plan", "install", "--profile", "minimal", *context)
    assert installer.data(*words, socket=False, flags=nobody)["changes"] == 0
    for more in (
        ("status", "--show-config", *context),
        ("config", "show"),
        ("explain", "CTO-1485"),
    ):
        installer.run(*more, socket=False, flags=nobody)
    file.unlink()


def short_form(installer: Installer) -> dict[str, Any]:
    """Install without the socket, as the message says that it can be done from a container."""
    refused = installer.run("install", code=4, socket=False)
    found = re.search(r"--network[ =](\S+)", refused.stderr)
    assert found, refused.stderr
    return installer.data("install", socket=False, flags=[f"--network={found[1].strip('`.,;')}"])


def test_a_platform_lives_from_docker_run_to_nothing_left(
    installer: Installer, daemon: Daemon | None, tell: list[str]
) -> None:
    """One cluster, the whole way: each step is what the one before leaves."""
    engine = installer.engine
    before = Inventory.of(engine, installer.kube)
    with Watch(engine, cable=daemon.cable if daemon else None) as watch:
        # Each node has what the machine has; two of them have room for standard on two cores.
        first = installer.install("minimal", "--nodes", "2")
        assert first["provider"] == "kind"
        (installing,) = installer.runs
        assert_healthy(first, engine)
        (registry,) = registries(engine)
        delivered = sent(engine, registry)
        assert delivered
        # Images share layers: whatever a node has, it is not sent again.
        assert repeated(delivered) == {}
        read = received(engine)
        assert read

        again = installer.install("minimal")
        assert again["changes"] == []
        assert sent(engine, registry) == delivered
        assert received(engine) == read

        rows = installer.data("status")["components"]
        assert [row["release"] for row in rows if row["objects"]] == ["deployed"] * 4
        assert profiles(installer) == ["minimal", "minimal"]
        assert_kubelets_are_trusted(installer)
        tell.append(assert_agents_work(installer))
        look_as_nobody(installer)
        assert short_form(installer)["changes"] == []
        assert_strange_images_are_named(installer)

        larger = installer.install("standard")
        assert "release:grafana" in larger["changes"]
        assert_healthy(larger, engine)
        assert profiles(installer) == ["standard", "standard"]
        assert_real_programs_work(installer)
        assert repeated(sent(engine, registry)) == {}
        report = watch.report(belongs(engine))
        tell.append(str(report))

        installer.uninstall("--delete-data", "--delete-crds")
        assert namespaces(installer) == SYSTEM
        installer.run("status", code=9)
        assert installer.uninstall("--cluster")["cluster"] is True

    assert report.is_empty, str(report)
    if daemon:
        assert_measured(report, installing.args, registry, NODE, WORKER)
    assert Inventory.of(engine, installer.kube).gained(before) == {}
    assert entries(installer.kubeconfig) == []
