"""Which images the pods of a manifest pull."""

from __future__ import annotations

import pytest

from cto.bundle.collect import PodImage, pod_images
from unit.bundle.parts import containers, workload

KINDS = ("Pod", "PodTemplate", "CronJob", "Job", "DaemonSet", "Deployment", "ReplicaSet")
MORE = ("ReplicationController", "StatefulSet")


@pytest.mark.parametrize("kind", [*KINDS, *MORE])
def test_every_kind_that_makes_pods_is_looked_into(kind: str) -> None:
    found = list(pod_images(workload(kind, "a:1")))
    assert found == [PodImage("a:1", f"{kind} it in ns, container c0")]


def test_all_containers_and_image_volumes_count() -> None:
    manifest = workload(
        "Deployment",
        "a:1",
        initContainers=containers("b:1"),
        ephemeralContainers=containers("c:1"),
        volumes=[{"name": "v", "image": {"reference": "d:1"}}, {"name": "w", "emptyDir": {}}],
    )
    assert [image.name for image in pod_images(manifest)] == ["b:1", "a:1", "c:1", "d:1"]


@pytest.mark.parametrize(
    "manifest",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "it"}},
        # A kind of somebody else's, whatever it is called.
        {**workload("Deployment", "a:1"), "apiVersion": "example.com/v1"},
        workload("Job"),
    ],
    ids=["no pods", "no spec", "foreign group", "no containers"],
)
def test_nothing_is_found_where_there_are_no_pods(manifest: dict[str, object]) -> None:
    assert list(pod_images(manifest)) == []


def test_a_container_without_an_image_pulls_none() -> None:
    """Admission webhooks put it in (sidecar injectors)."""
    assert list(pod_images(workload("Pod", ""))) == []
