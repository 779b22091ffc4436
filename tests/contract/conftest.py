"""One set of cases, two implementations: the fakes, and the real thing (marker `lab`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.helm.releases import HelmReleases
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.process import ProcessRunner
from cto.ports import Access, Releases
from fakes.cluster import FakeCluster
from fakes.office import Office, opened
from fakes.place import Place
from fakes.releases import FakeReleases

_numbers = itertools.count(1)

BOTH = [pytest.param("fake"), pytest.param("real", marks=pytest.mark.lab)]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with opened(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def real_cluster(lab_access: Access) -> Iterator[KubeCluster]:
    cluster = KubeCluster(lab_access, clock=SystemClock())
    yield cluster
    cluster.close()


@pytest.fixture(params=BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    namespace = f"contract-{next(_numbers)}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    if request.param == "fake":
        fake = FakeCluster([manifest])
        return Place(fake, namespace, lambda: FakeReleases(fake))
    cluster: KubeCluster = request.getfixturevalue("real_cluster")
    cluster.create(manifest)

    def releases() -> Releases:
        runner = ProcessRunner(log=lambda _: None, clock=SystemClock())
        helm = request.getfixturevalue("lab_tools") / "helm"
        return HelmReleases(
            runner, lambda: helm, request.getfixturevalue("lab_access"), home=tmp_path
        )

    return Place(cluster, namespace, releases)
