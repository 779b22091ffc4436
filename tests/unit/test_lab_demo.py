"""What the demo takes, and why: containers where that is possible, else simulated nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.dockerd import engine  # isort: skip - it makes the lab's modules findable
from lab import demo, demo_clusters, hosts

NOTHING = hosts.Sources(tools=False, charts=False, images=False)
EVERYTHING = hosts.Sources(tools=True, charts=True, images=True)
DOCKER = demo_clusters.Docker("26.1.5", "/var/run/docker.sock", keeps_layouts=True)


@pytest.mark.parametrize("sources", [NOTHING, EVERYTHING])
def test_without_docker_nodes_are_simulated(sources: hosts.Sources) -> None:
    cluster = demo_clusters.choose(sources, demo_clusters.Docker(), "")
    assert (cluster.provider, cluster.why) == ("kwok", "no Docker daemon answers")


def test_with_docker_and_registries_the_checkout_makes_a_kind_cluster() -> None:
    cluster = demo_clusters.choose(EVERYTHING, DOCKER, "")
    assert isinstance(cluster, demo_clusters.Contained)
    assert "Docker 26.1.5 answers" in cluster.why
    assert "--charts" not in cluster.install("minimal")


def test_without_registries_the_image_does_with_what_the_lab_has() -> None:
    cluster = demo_clusters.choose(NOTHING, DOCKER, "")
    assert isinstance(cluster, demo_clusters.Imaged)
    assert cluster.takes_stand_ins


@pytest.mark.parametrize(
    ("docker", "why"),
    [
        (replace(DOCKER, socket=""), "a Docker socket on this machine"),
        (replace(DOCKER, keeps_layouts=False), "the containerd image store"),
        (replace(DOCKER, lacking=lambda: ["root", "Go 1.24"]), "lacks root, Go 1.24"),
    ],
)
def test_what_the_lab_lacks_for_nodes_is_the_reason(docker: demo_clusters.Docker, why: str) -> None:
    cluster = demo_clusters.choose(NOTHING, docker, "")
    assert cluster.provider == "kwok"
    assert why in cluster.why
    assert demo_clusters.choose(EVERYTHING, docker, "").provider == "kind"


def test_a_wish_comes_first() -> None:
    cluster = demo_clusters.choose(EVERYTHING, DOCKER, "kwok")
    assert (cluster.provider, cluster.why) == ("kwok", "PROVIDER=kwok")
    forced = demo_clusters.choose(NOTHING, demo_clusters.Docker(), "kind")
    assert (forced.provider, forced.why) == (
        "kind",
        "PROVIDER=kind, though no Docker daemon answers",
    )


def test_the_demos_cluster_is_never_a_users() -> None:
    for sources in (NOTHING, EVERYTHING):
        argv = demo_clusters.choose(sources, DOCKER, "").install("minimal")
        assert argv[argv.index("--cluster-name") + 1] == "cto-demo"


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("nats:2.10.10", hosts.HUB),
        ("natsio/prometheus-nats-exporter:0.14.0", hosts.HUB),
        ("docker.io/kindest/node:v1.34.0", hosts.HUB),
        ("quay.io/argoproj/argocd:v3.4.4", "quay.io"),
    ],
)
def test_the_registry_of_an_image(reference: str, host: str) -> None:
    assert hosts.registry_of(reference) == host


@pytest.mark.parametrize("silent", ["tool_urls", "chart_urls", "image_urls"])
def test_one_silent_host_is_enough_to_take_stand_ins(silent: str) -> None:
    absent = set(getattr(hosts, silent)())
    found = hosts.probe(lambda url: url not in absent)
    expected = {"tool_urls": "tools", "chart_urls": "charts", "image_urls": "images"}
    assert [name for name in expected.values() if not getattr(found, name)] == [expected[silent]]


def test_the_socket_is_the_one_that_the_client_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/user/1000/docker.sock")
    assert engine.socket() == "/run/user/1000/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert engine.socket() == ""
    monkeypatch.delenv("DOCKER_HOST")
    assert engine.socket() == "/var/run/docker.sock"


@pytest.mark.parametrize(
    ("profile", "next_one"),
    [("minimal", "standard"), ("standard", "production"), ("production", "")],
)
def test_what_comes_next_goes_to_the_same_cluster(
    profile: str, next_one: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Docker answers as well, plain commands would make a kind cluster."""
    cluster = demo_clusters.choose(EVERYTHING, DOCKER, "kwok")
    demo.tell_what_next(cluster, profile)
    told = "".join(capsys.readouterr())
    assert "export CTO_CLUSTER__PROVIDER=kwok" in told
    assert ("PROFILE=" in told) is bool(next_one)
    assert f"make demo PROFILE={next_one} PROVIDER=kwok" in told or not next_one
