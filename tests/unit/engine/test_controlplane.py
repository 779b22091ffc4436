"""What nobody of Kubernetes looks at is told as such, and since when who should is silent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cto.engine import controlplane
from cto.engine.causes import causes_of
from cto.engine.evidence import Evidence
from cto.engine.gone import GoneWait
from cto.engine.health import run_checks
from cto.engine.hooks import HookWatch
from cto.engine.listcache import ListCache
from cto.engine.look import HealthContext
from cto.engine.verdict import Verdict
from cto.engine.waiting import ReadyWait
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, ref_of
from cto.result import CheckStatus
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.handclock import HandClock
from fakes.workloads import NS, deployment, job, manifest, pod, stateful_set

SCHEDULER, CONTROLLERS = "kube-scheduler", "kube-controller-manager"
NEVER = "2029-12-31T00:00:00.000000Z"
NEW_POD: Manifest = pod(deployment())


def lease(cluster: FakeCluster, program: str, *, age_s: float, **spec: Any) -> Manifest:
    renewed = f"{cluster.time - timedelta(seconds=age_s):%Y-%m-%dT%H:%M:%S.%f}Z"
    data = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": renewed, **spec}
    where = {"namespace": "kube-system"}
    version = "coordination.k8s.io/v1"
    return manifest("Lease", program, api_version=version, metadata=where, spec=data)


def unobserved(made: Manifest, generation: int = 2) -> Manifest:
    return {**made, "metadata": {**made["metadata"], "generation": generation}}


# Leases


@pytest.mark.parametrize(
    ("spec", "over"),
    [
        ({}, True),
        ({"leaseDurationSeconds": 60}, False),
        ({"leaseDurationSeconds": None}, False),
        ({"renewTime": None}, False),
        ({"renewTime": "soon"}, False),
        # Given back by a program that ended as it should.
        ({"leaseDurationSeconds": 1, "holderIdentity": ""}, True),
    ],
)
def test_a_program_is_silent_when_its_lease_is_over(spec: dict[str, Any], *, over: bool) -> None:
    cluster = FakeCluster()
    cluster.add(lease(cluster, SCHEDULER, age_s=20, **spec))
    cluster.add(lease(cluster, CONTROLLERS, age_s=2))
    assert list(controlplane.silent(cluster)) == ([SCHEDULER] if over else [])


def test_it_is_the_servers_clock_that_counts() -> None:
    cluster = FakeCluster()
    cluster.add(lease(cluster, SCHEDULER, age_s=5))
    assert controlplane.silent(cluster) == {}
    cluster.time += timedelta(seconds=30)
    assert list(controlplane.silent(cluster)) == [SCHEDULER]


def test_what_has_no_lease_or_one_that_may_not_be_read_is_not_said_to_be_silent() -> None:
    """Managed clusters keep these to themselves."""
    cluster = FakeCluster()
    assert controlplane.silent(cluster) == {}
    cluster.add(lease(cluster, SCHEDULER, age_s=99))
    forbidden = ApiError("CTO-1602", "forbidden", status=403)
    for _ in range(2):
        cluster.fail_next("get", forbidden, kind="Lease")
    assert controlplane.silent(cluster) == {}
    cluster.fail_next("get", ApiError("CTO-1601", "silent"), kind="Lease")
    with pytest.raises(ApiError, match="silent"):
        controlplane.silent(cluster)


# objects


@pytest.mark.parametrize(
    ("made", "program"),
    [
        (NEW_POD, SCHEDULER),
        ({**NEW_POD, "status": {}}, SCHEDULER),
        ({**NEW_POD, "spec": {"schedulerName": "default-scheduler"}}, SCHEDULER),
        ({**NEW_POD, "spec": {"schedulerName": "volcano"}}, "volcano"),
        ({**NEW_POD, "spec": {"nodeName": "n"}}, ""),
        (pod(None, name="a", phase="Succeeded"), ""),
        (pod(None, name="a", conditions=[{"type": "PodScheduled", "status": "False"}]), ""),
        (unobserved(deployment()), CONTROLLERS),
        (unobserved(stateful_set()), CONTROLLERS),
        (unobserved({**deployment(), "status": {}}, 1), CONTROLLERS),
        (unobserved(deployment(), 1), ""),
        (deployment(), ""),
        (job(), ""),
        ({**job(), "status": {}}, CONTROLLERS),
        ({**job(), "status": {}, "spec": {"suspend": True}}, ""),
        ({**job(), "status": {}, "spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}, ""),
        # Other kinds have controllers of their own, which write what they like.
        (unobserved({**deployment(), "apiVersion": "apps.example.com/v1"}), ""),
        (unobserved(manifest("Service", "web")), ""),
    ],
)
def test_who_has_not_looked_yet(made: Manifest, program: str) -> None:
    assert controlplane.unseen_by(made) == program


def test_a_cause_says_no_more_than_is_seen() -> None:
    cluster = FakeCluster([deployment(), NEW_POD])
    (cause,) = causes_of(Evidence(ListCache(cluster), NS, FakeClock().now), deployment())
    assert cause.message == f"pod {NEW_POD['metadata']['name']}: no scheduler has looked at it"
    assert (cause.code, cause.patience_s) == ("CTO-1713", float("inf"))


def test_with_a_lease_that_is_over_it_says_since_when_and_gives_up() -> None:
    root = unobserved(deployment())
    cluster = FakeCluster([root, NEW_POD])
    cluster.add(lease(cluster, CONTROLLERS, age_s=60, renewTime=NEVER))
    (cause,) = causes_of(Evidence(ListCache(cluster), NS, FakeClock().now), root)
    assert cause.message == (
        "Deployment server: no controller has looked at it: kube-controller-manager was last heard "
        f"of at {NEVER}"
    )
    assert cause.patience_s == 180


# waits


class Waiting:
    """An object that is looked at as long as it takes."""

    def __init__(self, *objects: Manifest) -> None:
        self.cluster = FakeCluster(objects)
        self.clock = HandClock()
        self.live = WatchCache(self.cluster, self.clock, pause_s=0.001)

    def ready(self, made: Manifest) -> ReadyWait:
        return ReadyWait([ref_of(made)], self.live, self.cluster, self.clock)

    def after(self, seconds: float, wait: ReadyWait | GoneWait | HookWatch) -> Verdict:
        verdict = Verdict(done=False, message="no time passed")
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            verdict = wait.evaluate()
            # Watches and answers come from other threads.
            self.live.wait_change(self.live.generation, 0.02)
            while self.live._questions._pending:
                self.live.wait_change(self.live.generation, 0.01)
        return verdict


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting()
    yield made
    made.live.close()


def test_a_pod_that_nobody_schedules_is_told_within_seconds(waiting: Waiting) -> None:
    waiting.cluster.add(deployment())
    waiting.cluster.add(NEW_POD)
    wait = waiting.ready(deployment())
    assert "no scheduler" not in waiting.after(2, wait).message
    assert waiting.after(3, wait).message.endswith("no scheduler has looked at it")
    waiting.cluster.add(lease(waiting.cluster, SCHEDULER, age_s=60, renewTime=NEVER))
    told = f"no scheduler has looked at it: kube-scheduler was last heard of at {NEVER}"
    assert waiting.after(10, wait).message.endswith(told)
    error = waiting.after(200, wait).error
    assert error is not None
    assert error.code == "CTO-1713"


def test_who_comes_back_is_forgiven(waiting: Waiting) -> None:
    waiting.cluster.add(deployment())
    waiting.cluster.add(NEW_POD)
    waiting.cluster.add(lease(waiting.cluster, SCHEDULER, age_s=60))
    wait = waiting.ready(deployment())
    assert "no scheduler" in waiting.after(100, wait).message
    waiting.cluster.set_status(ref_of(deployment()), deployment(ready=1)["status"])
    assert waiting.after(2, wait).done


def test_what_changes_now_and_then_is_looked_at_by_somebody(waiting: Waiting) -> None:
    """Every change of a Deployment is a moment in which its controller has not seen it."""
    waiting.cluster.add(deployment())
    wait = waiting.ready(deployment())
    for replicas in range(2, 8):
        waiting.cluster.apply_quietly(deployment(replicas=replicas))
        assert "no controller" not in waiting.after(2, wait).message
    assert "no controller has looked at it" in waiting.after(5, wait).message


def test_a_hook_that_no_controller_begins_is_told(waiting: Waiting) -> None:
    watch = HookWatch(NS, waiting.live, waiting.clock)
    waiting.after(1, watch)
    hook = {**job(metadata={"annotations": {"helm.sh/hook": "pre-install"}}), "status": {}}
    waiting.cluster.add(hook)
    message = waiting.after(5, watch).message
    assert message == "hook Job hook: no controller has looked at it"


def test_what_is_deleted_waits_for_controllers_too(waiting: Waiting) -> None:
    ref = ObjectRef("v1", "Namespace", "", NS)
    waiting.cluster.add(manifest("ConfigMap", "held", metadata={"finalizers": ["example.com/f"]}))
    waiting.cluster.add(lease(waiting.cluster, CONTROLLERS, age_s=60, renewTime=NEVER))
    waiting.cluster.delete_quietly(ref)
    wait = GoneWait([ref], waiting.live, waiting.cluster, waiting.clock)
    assert waiting.after(5, wait).message == (
        f"0 of 1 gone: kube-controller-manager was last heard of at {NEVER}: Namespace {NS}"
    )


# status


def test_status_warns_of_what_does_no_work() -> None:
    cluster = FakeCluster()
    conditions = [{"type": "Ready", "status": "True"}]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    cluster.add({**node, "status": {"conditions": conditions}})
    cluster.add(lease(cluster, SCHEDULER, age_s=60, renewTime=NEVER))
    kubernetes = run_checks(HealthContext(cluster=cluster, clock=FakeClock(), state=None))[0]
    assert kubernetes.status is CheckStatus.WARNING
    assert kubernetes.items[0] == f"kube-scheduler does no work: it was last heard of at {NEVER}"
    assert "get pods,leases" in kubernetes.fix


def test_status_goes_without_what_cannot_be_asked() -> None:
    cluster = FakeCluster()
    conditions = [{"type": "Ready", "status": "True"}]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}
    cluster.add({**node, "status": {"conditions": conditions}})
    cluster.fail_next("get", ApiError("CTO-1600", "etcd is busy", status=500), kind="Lease")
    kubernetes = run_checks(HealthContext(cluster=cluster, clock=FakeClock(), state=None))[0]
    assert "etcd" not in kubernetes.message
    assert kubernetes.items == ()
