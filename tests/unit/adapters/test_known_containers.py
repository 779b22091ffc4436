"""Docker, asked for the containers of installers."""

from __future__ import annotations

import pytest

from cto.adapters.docker.container import DockerContainer, KnownContainers
from cto.errors import PreflightError
from cto.holder import Containers
from fakes.docker import FakeDocker


@pytest.fixture
def docker() -> FakeDocker:
    return FakeDocker()


@pytest.fixture
def known(docker: FakeDocker) -> Containers:
    return KnownContainers(docker)


def test_our_own_is_named_with_its_docker(docker: FakeDocker, known: Containers) -> None:
    assert known.own == ""
    own = docker.add(DockerContainer(id="", name="own"))
    docker.inside = "own"
    assert (known.own, known.daemon) == (own.id, docker.info.id)


def test_one_may_live_as_long_as_docker_runs_it(docker: FakeDocker, known: Containers) -> None:
    other = docker.add(DockerContainer(id="", name="other"))
    assert known.may_live(other.id)
    docker.pause("other")
    assert known.may_live(other.id)
    docker.stop("other")
    assert not known.may_live(other.id)
    docker.remove("other")
    assert not known.may_live(other.id)


def test_a_docker_that_does_not_answer_proves_nothing(
    docker: FakeDocker, known: Containers
) -> None:
    docker.add(DockerContainer(id="", name="own"))
    docker.inside = "own"
    docker.fails = PreflightError("CTO-1420", "no answer")
    assert (known.own, known.daemon, known.may_live("0" * 64)) == ("", "", True)
