"""What the demo takes, and why: containers where that is possible, else simulated nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.dockerd import engine  # isort: skip - it makes the lab's modules findable
from lab import demo, grounds, reach

NOTHING = reach.Sources(tools=False, charts=False, images=False)
EVERYTHING = reach.Sources(tools=True, charts=True, images=True)
DOCKER = grounds.Docker("26.1.5", "/var/run/docker.sock", keeps_layouts=True)


@pytest.mark.parametrize("sources", [NOTHING, EVERYTHING])
def test_without_docker_nodes_are_simulated(sources: reach.Sources) -> None:
    ground = grounds.choose(sources, grounds.Docker(), "")
    assert (ground.provider, ground.why) == ("kwok", "no Docker daemon answers")


def test_with_docker_and_registries_the_checkout_makes_a_kind_cluster() -> None:
    ground = grounds.choose(EVERYTHING, DOCKER, "")
    assert isinstance(ground, grounds.Contained)
    assert "Docker 26.1.5 answers" in ground.why
    assert "--charts" not in ground.install("minimal")


def test_without_registries_the_image_does_with_what_the_lab_has() -> None:
    ground = grounds.choose(NOTHING, DOCKER, "")
    assert isinstance(ground, grounds.Imaged)
    assert ground.takes_stand_ins


@pytest.mark.parametrize(
    ("docker", "why"),
    [
        (replace(DOCKER, socket=""), "a Docker socket on this machine"),
        (replace(DOCKER, keeps_layouts=False), "the containerd image store"),
        (replace(DOCKER, lacking=lambda: ["root", "Go 1.24"]), "lacks root, Go 1.24"),
    ],
)
def test_what_the_lab_lacks_for_nodes_is_the_reason(docker: grounds.Docker, why: str) -> None:
    ground = grounds.choose(NOTHING, docker, "")
    assert ground.provider == "kwok"
    assert why in ground.why
    assert grounds.choose(EVERYTHING, docker, "").provider == "kind"


def test_a_wish_comes_first() -> None:
    ground = grounds.choose(EVERYTHING, DOCKER, "kwok")
    assert (ground.provider, ground.why) == ("kwok", "PROVIDER=kwok")
    forced = grounds.choose(NOTHING, grounds.Docker(), "kind")
    assert (forced.provider, forced.why) == (
        "kind",
        "PROVIDER=kind, though no Docker daemon answers",
    )


def test_the_demos_cluster_is_never_a_users() -> None:
    for sources in (NOTHING, EVERYTHING):
        argv = grounds.choose(sources, DOCKER, "").install("minimal")
        assert argv[argv.index("--cluster-name") + 1] == "cto-demo"


@pytest.mark.parametrize(
    ("reference", "host"),
    [
        ("nats:2.10.10", reach.HUB),
        ("natsio/prometheus-nats-exporter:0.14.0", reach.HUB),
        ("docker.io/kindest/node:v1.34.0", reach.HUB),
        ("quay.io/argoproj/argocd:v3.4.4", "quay.io"),
    ],
)
def test_the_registry_of_an_image(reference: str, host: str) -> None:
    assert reach.registry_of(reference) == host


@pytest.mark.parametrize("silent", ["tool_urls", "chart_urls", "image_urls"])
def test_one_silent_host_is_enough_to_take_stand_ins(silent: str) -> None:
    absent = set(getattr(reach, silent)())
    found = reach.probe(lambda url: url not in absent)
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
    ground = grounds.choose(EVERYTHING, DOCKER, "kwok")
    demo.tell_what_next(ground, profile)
    told = "".join(capsys.readouterr())
    assert "export CTO_CLUSTER__PROVIDER=kwok" in told
    assert ("PROFILE=" in told) is bool(next_one)
    assert f"make demo PROFILE={next_one} PROVIDER=kwok" in told or not next_one
