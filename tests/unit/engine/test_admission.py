"""The platform's own pods are tried, as its charts make them."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.admission import dry_run
from cto.engine.planned import PlannedObject
from cto.errors import ApiError
from cto.objects import Manifest
from cto.result import Check, CheckStatus
from fakes.cluster import FakeCluster
from unit.engine.plans import deployment, small

WEB = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}


class Guarded(FakeCluster):
    """Refuses pods by a rule of its own, and keeps what it was asked.

    Attributes:
        asked: Every pod.
    """

    def __init__(self, refusal: str = "") -> None:
        super().__init__([WEB])
        self.asked: list[Manifest] = []
        self._refusal = refusal

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest["kind"] == "Pod":
            assert dry_run
            self.asked.append(manifest)
            if self._refusal:
                raise ApiError("CTO-1605", self._refusal, status=403)
        return super().create(manifest, dry_run=dry_run)


def tried(cluster: FakeCluster, *objects: PlannedObject, **more: Any) -> Check:
    return dry_run(cluster, ["web"], None, objects=objects, **more)


def test_pods_are_tried_as_they_are_rendered() -> None:
    """What they ask for, their labels, and what they may: nothing of it is made up."""
    item = deployment(cpu="250m", securityContext={"runAsUser": 7}, serviceAccountName="web")
    cluster = Guarded()

    assert tried(cluster, item).status is CheckStatus.PASSED

    (pod,) = cluster.asked
    template = item.manifest["spec"]["template"]
    assert pod["metadata"] == {
        "name": "cto-preflight",
        "namespace": "web",
        "labels": {"app": "web"},
    }
    # The account is not there yet.
    assert pod["spec"] == {
        key: value for key, value in template["spec"].items() if key != "serviceAccountName"
    }


def test_a_priority_class_that_the_plan_makes_is_not_asked_for() -> None:
    cluster = Guarded()
    tried(
        cluster,
        deployment(priorityClassName="web"),
        deployment("other", priorityClassName="theirs"),
        small("PriorityClass", namespace=""),
    )

    assert [pod["spec"].get("priorityClassName") for pod in cluster.asked] == [None, "theirs"]


def test_only_where_nothing_is_rendered_a_made_up_pod_is_tried() -> None:
    cluster = Guarded()
    tried(cluster, deployment(namespace="elsewhere"), image="registry.example.com/a:1")

    (pod,) = cluster.asked
    assert [one["image"] for one in pod["spec"]["containers"]] == ["registry.example.com/a:1"]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        (
            "minimum cpu usage per Container is 200m, but request is 100m",
            "The LimitRange of namespace web is too narrow",
        ),
        (
            "forbidden: memory max limit to request ratio per Container is 2, but provided is 3",
            "The LimitRange of namespace web is too narrow",
        ),
        (
            "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0",
            "Raise the quota",
        ),
        ("failed quota: small: must specify limits.cpu", "Raise the quota"),
        (
            'violates PodSecurity "restricted:latest": seccompProfile',
            "Lower the Pod Security level",
        ),
        ('admission webhook "a.b" denied the request: no', "Except the platform's namespaces"),
    ],
)
def test_a_refusal_names_the_workload_and_a_fix_that_fits_the_cause(text: str, fix: str) -> None:
    found = tried(Guarded(text), deployment())

    assert (found.status, found.code) == (CheckStatus.FAILED, "CTO-1400")
    assert found.message == "one of the platform's pods is refused in web"
    assert found.items == (f"web: Deployment web: {text}",)
    assert found.fix.startswith(fix)


def test_each_cause_is_mended_once() -> None:
    found = tried(Guarded("exceeded quota: small"), deployment(), deployment("other"))

    assert found.message == "2 pods are refused in web"
    assert len(found.items) == 2
    assert len(found.fix.splitlines()) == 1


@pytest.mark.parametrize(
    "text",
    [
        'pods is forbidden: User "me" cannot create resource "pods" in API group ""',
        'failed calling webhook "a.b": no endpoints available for service "b"',
    ],
)
def test_who_may_not_make_pods_need_not_and_what_is_silent_has_its_own_check(text: str) -> None:
    assert tried(Guarded(text), deployment()).status is CheckStatus.PASSED


def test_where_pods_of_ours_run_a_refusal_is_a_warning() -> None:
    found = tried(Guarded("exceeded quota: full"), deployment(), settled=["web"])

    assert (found.status, found.code) == (CheckStatus.WARNING, "")
