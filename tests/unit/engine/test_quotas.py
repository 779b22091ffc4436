"""What a plan takes of quotas, added up before it is refused half-way."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.planned import PlannedObject
from cto.engine.quotas import check, defaults_of, usage_of
from cto.objects import Manifest
from cto.result import Check, CheckStatus
from fakes.cluster import FakeCluster
from unit.engine.plans import deployment, planned, small


def quota(used: dict[str, str] | None = None, **hard: str) -> Manifest:
    limits = {key.replace("__", "."): value for key, value in hard.items()}
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": "web"},
        "spec": {"hard": limits},
        "status": {"hard": limits, "used": used or {}},
    }


def limits(**row: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": "range", "namespace": "web"},
        "spec": {"limits": [{"type": "Pod", "max": {"cpu": "9"}}, {"type": "Container", **row}]},
    }


def found(objects: list[Manifest], *items: PlannedObject) -> Check:
    return check(FakeCluster(objects), items, ["web"])


def test_what_fits_is_fine() -> None:
    made = found([quota(pods="3", requests__cpu="1")], deployment(replicas=3))

    assert (made.status, made.message) == (CheckStatus.PASSED, "nothing is too small")


@pytest.mark.parametrize(
    ("hard", "used", "told"),
    [
        ({"pods": "4"}, {"pods": "2"}, "3 pods wanted, 2 free of 4"),
        ({"pods": "1"}, {"pods": "2"}, "3 pods wanted, 0 free of 1"),
        ({"count/pods": "2"}, {}, "3 count/pods wanted, 2 free of 2"),
        (
            {"requests.cpu": "1"},
            {"requests.cpu": "800m"},
            "300m requests.cpu wanted, 200m free of 1",
        ),
        ({"cpu": "250m"}, {}, "300m cpu wanted, 250m free of 250m"),
        ({"memory": "128Mi"}, {}, "192Mi memory wanted, 128Mi free of 128Mi"),
        ({"limits.memory": "1Gi"}, {}, ""),
        ({"count/deployments.apps": "0"}, {}, "1 count/deployments.apps wanted, 0 free of 0"),
        ({"services": "0"}, {}, ""),
    ],
)
def test_what_does_not_is_named_with_both_numbers(
    hard: dict[str, str], used: dict[str, str], told: str
) -> None:
    made = found([quota(used, **hard)], deployment(replicas=3))

    lines = (f"ResourceQuota small in web: {told}",) if told else ()
    assert made.items == lines
    assert made.code == ("CTO-1400" if told else "")
    assert ("kubectl describe resourcequota -n NAMESPACE, of web" in made.fix) == bool(told)


def test_services_count_by_what_they_open() -> None:
    ports = [{"port": 80}, {"port": 443}]

    def usage(**spec: Any) -> dict[str, int]:
        item = small("Service", spec={"ports": ports, **spec})
        return {key: int(amount) for key, amount in usage_of([item]).items()}

    counted = {"count/services": 1, "services": 1}
    assert usage() == counted
    assert usage(type="NodePort") == {**counted, "services.nodeports": 2}
    balancer = {**counted, "services.loadbalancers": 1}
    assert usage(type="LoadBalancer") == {**balancer, "services.nodeports": 2}
    assert usage(type="LoadBalancer", allocateLoadBalancerNodePorts=False) == balancer


def test_volumes_count_with_their_size_and_their_class() -> None:
    claim = {"resources": {"requests": {"storage": "2Gi"}}, "storageClassName": "fast"}
    sets = planned(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": "db", "namespace": "web"},
            "spec": {
                "replicas": 3,
                "template": {"spec": {"containers": [{"name": "a"}]}},
                "volumeClaimTemplates": [{"metadata": {"name": "d"}, "spec": claim}],
            },
        }
    )

    usage = usage_of([sets, small("PersistentVolumeClaim", spec=claim)])

    assert usage["persistentvolumeclaims"] == 4
    assert usage["requests.storage"] == 4 * 2 * 2**30
    assert usage["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == 4
    assert usage["fast.storageclass.storage.k8s.io/requests.storage"] == 8 * 2**30
    made = found(
        [quota(persistentvolumeclaims="3")], sets, small("PersistentVolumeClaim", spec=claim)
    )
    assert made.items == (
        "ResourceQuota small in web: 4 persistentvolumeclaims wanted, 3 free of 3",
    )


def test_a_limit_range_gives_containers_what_they_have_not() -> None:
    ranges = limits(default={"cpu": "500m"}, defaultRequest={"cpu": "200m"})

    assert defaults_of([ranges]) == ({"cpu": "200m"}, {"cpu": "500m"})
    made = found([ranges, quota(limits__cpu="1")], deployment(replicas=3))
    assert made.items == ("ResourceQuota small in web: 1500m limits.cpu wanted, 1 free of 1",)


def test_what_a_killed_run_left_counts_once() -> None:
    """It is in the quota's own count already, though no state knows it."""
    there = deployment()
    full = quota({"pods": "1", "count/deployments.apps": "1"}, pods="1")
    assert found([full], there).status is CheckStatus.FAILED
    assert found([full, there.manifest], there).status is CheckStatus.PASSED


def test_hooks_and_other_namespaces_take_nothing_for_long() -> None:
    hook = deployment()
    hook.manifest["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
    none = quota(pods="0")

    assert found([none], hook).status is CheckStatus.PASSED
    assert found([none], deployment(namespace="elsewhere")).status is CheckStatus.PASSED


def test_a_quota_of_some_pods_only_is_not_added_up() -> None:
    some_only: list[Manifest] = [
        {"scopes": ["BestEffort"]},
        {"scopeSelector": {"matchExpressions": []}},
    ]
    for scope in some_only:
        some = quota(pods="0")
        some["spec"] |= scope
        assert found([some], deployment()).status is CheckStatus.PASSED


def test_a_namespace_without_quota_costs_one_question() -> None:
    cluster = FakeCluster()

    check(cluster, [deployment(), small("ConfigMap")], ["web"])

    assert [call[:2] for call in cluster.calls] == [("list", "ResourceQuota")]
