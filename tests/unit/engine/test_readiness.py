"""Readiness by kind, as kstatus has it, and where we know better."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.engine.readiness import ReadyState, conditions_of, has_status, status_of
from cto.objects import Manifest
from fakes import controllers, workloads
from fakes.workloads import manifest

READY, PROGRESSING, FAILED = ReadyState.READY, ReadyState.PROGRESSING, ReadyState.FAILED
counts = st.integers(min_value=0, max_value=5)


def condition(kind: str, status: str = "True", **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, **more}


def workload(kind: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 1) -> Any:
    return manifest(
        kind,
        "x",
        api_version="apps/v1",
        metadata={"generation": generation},
        spec=spec,
        status=status,
    )


@given(wanted=counts, made=counts, updated=counts, ready=counts, available=counts)
def test_deployment_is_ready_exactly_when_every_count_is_as_wanted(
    wanted: int, made: int, updated: int, ready: int, available: int
) -> None:
    status = {
        "replicas": made,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
    }
    found = status_of(workload("Deployment", {"replicas": wanted}, status))
    enough = min(updated, ready, available) >= wanted and made == wanted
    assert found.ready == enough
    assert bool(found.message) != enough


@given(kind=st.sampled_from(["Deployment", "StatefulSet", "ReplicaSet"]), ready=counts)
def test_workload_scaled_to_zero_is_ready_as_soon_as_its_pods_are_gone(
    kind: str, ready: int
) -> None:
    old = {"conditions": [condition("Progressing", "False", reason="ProgressDeadlineExceeded")]}
    found = status_of(workload(kind, {"replicas": 0}, {**old, "replicas": ready}))
    assert found.ready == (ready == 0)


@given(
    kind=st.sampled_from(["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]),
    observed=st.integers(min_value=1, max_value=9),
    generation=st.integers(min_value=1, max_value=9),
)
def test_nothing_is_ready_before_its_controller_saw_the_last_change(
    kind: str, observed: int, generation: int
) -> None:
    made: Manifest = workload(kind, {"replicas": 1}, {}, generation)
    if kind == "ReplicaSet":
        made["status"] = {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    else:
        controllers.make_ready(made)
    made["status"]["observedGeneration"] = observed
    assert status_of(made).ready == (observed >= generation)


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        ({}, PROGRESSING, "0/2 created"),
        ({"replicas": 2, "updatedReplicas": 1}, PROGRESSING, "1/2 updated"),
        (
            {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 1},
            PROGRESSING,
            "1/2 available",
        ),
        (
            {"replicas": 3, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2},
            PROGRESSING,
            "1 old pods to end",
        ),
        (
            {
                "availableReplicas": 1,
                "conditions": [
                    condition("Progressing", "False", reason="ProgressDeadlineExceeded")
                ],
            },
            FAILED,
            "1/2 available, no progress",
        ),
        (
            {
                "replicas": 2,
                "updatedReplicas": 2,
                "readyReplicas": 2,
                "availableReplicas": 2,
                "conditions": [condition("Available", "False", message="too few")],
            },
            PROGRESSING,
            "too few",
        ),
    ],
)
def test_deployment_says_what_is_missing(
    status: dict[str, Any], state: ReadyState, message: str
) -> None:
    found = status_of(workload("Deployment", {"replicas": 2}, status))
    assert (found.state, found.message) == (state, message)


@pytest.mark.parametrize(
    ("strategy", "updated", "ready"),
    [
        ({}, 1, False),
        ({}, 3, True),
        ({"rollingUpdate": {"partition": 2}}, 1, True),
        ({"rollingUpdate": {"partition": 2}}, 0, False),
        ({"rollingUpdate": {"partition": 9}}, 0, True),
        ({"type": "OnDelete"}, 0, True),
    ],
)
def test_stateful_set_waits_for_the_updates_that_its_strategy_makes(
    *, strategy: dict[str, Any], updated: int, ready: bool
) -> None:
    status = {"replicas": 3, "readyReplicas": 3, "updatedReplicas": updated}
    made = workload("StatefulSet", {"replicas": 3, "updateStrategy": strategy}, status)
    assert status_of(made).ready is ready


def test_stateful_set_that_is_updated_by_hand_must_still_be_ready() -> None:
    spec = {"replicas": 1, "updateStrategy": {"type": "OnDelete"}}
    found = status_of(workload("StatefulSet", spec, {"replicas": 1}))
    assert found.message == "0/1 ready"


@pytest.mark.parametrize(
    ("strategy", "status", "message"),
    [
        ({}, {}, "its controller has not seen it yet"),
        ({}, {"desiredNumberScheduled": 2, "observedGeneration": 1}, "0/2 created"),
        (
            {},
            {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "observedGeneration": 1},
            "0/1 updated",
        ),
        (
            {"type": "OnDelete"},
            {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "observedGeneration": 1},
            "0/1 ready",
        ),
        ({}, {"desiredNumberScheduled": 0, "observedGeneration": 1}, ""),
    ],
)
def test_daemon_set_waits_for_its_nodes(
    strategy: dict[str, Any], status: dict[str, Any], message: str
) -> None:
    found = status_of(workload("DaemonSet", {"updateStrategy": strategy}, status))
    assert found.message == message
    assert found.ready is (not message)


def test_replica_set_that_cannot_create_pods_says_why() -> None:
    status = {"conditions": [condition("ReplicaFailure", message="exceeded quota")]}
    assert status_of(workload("ReplicaSet", {}, status)).message == "exceeded quota"


@pytest.mark.parametrize(
    ("spec", "status", "state", "message"),
    [
        ({}, {"conditions": [condition("Complete")]}, READY, ""),
        ({"suspend": True}, {}, READY, ""),
        ({}, {}, PROGRESSING, "0/1 complete"),
        ({"parallelism": 2}, {"succeeded": 1}, PROGRESSING, "1/2 complete"),
        ({"completions": 3, "parallelism": 2}, {}, PROGRESSING, "0/3 complete"),
        (
            {},
            {"conditions": [condition("Failed", reason="DeadlineExceeded")]},
            FAILED,
            "failed: DeadlineExceeded",
        ),
    ],
)
def test_job_is_ready_when_it_is_complete(
    spec: dict[str, Any], status: dict[str, Any], state: ReadyState, message: str
) -> None:
    found = status_of(manifest("Job", "x", api_version="batch/v1", spec=spec, status=status))
    assert (found.state, found.message) == (state, message)


@pytest.mark.parametrize(
    ("status", "state", "message"),
    [
        ({"phase": "Succeeded"}, READY, ""),
        ({"phase": "Failed", "message": "evicted"}, FAILED, "evicted"),
        ({"phase": "Failed"}, FAILED, "failed"),
        ({"phase": "Running", "conditions": [condition("Ready")]}, READY, ""),
        ({"phase": "Running"}, PROGRESSING, "running, not ready"),
        ({"phase": "Pending"}, PROGRESSING, "Pending"),
        ({}, PROGRESSING, "not seen yet"),
    ],
)
def test_pod_is_ready_when_it_runs_and_says_so_or_is_over(
    status: dict[str, Any], state: ReadyState, message: str
) -> None:
    found = status_of(manifest("Pod", "x", status=status))
    assert (found.state, found.message) == (state, message)


class Claims:
    """A lookup with fixed answers."""

    def __init__(self, *, waits: bool, used: bool) -> None:
        self._answers = waits, used

    def waits_for_consumer(self, claim: Manifest) -> bool:
        return self._answers[0]

    def used(self, claim: Manifest) -> bool:
        return self._answers[1]


@given(waits=st.booleans(), used=st.booleans(), phase=st.sampled_from(["", "Pending", "Bound"]))
def test_claim_is_ready_when_bound_or_when_nobody_uses_what_waits_for_a_user(
    *, waits: bool, used: bool, phase: str
) -> None:
    found = status_of(workloads.claim(phase=phase), Claims(waits=waits, used=used))
    assert found.ready == (phase == "Bound" or (waits and not used))


def test_claim_without_a_lookup_must_be_bound_and_a_lost_one_failed() -> None:
    assert status_of(workloads.claim()).message == "Pending"
    assert status_of(workloads.claim(phase="Lost")).state is FAILED


@pytest.mark.parametrize(
    ("spec", "status", "message"),
    [
        ({}, {}, ""),
        ({"type": "LoadBalancer"}, {}, "has no cluster IP"),
        ({"type": "LoadBalancer", "clusterIP": "10.0.0.1"}, {}, "its load balancer has no address"),
        ({"type": "LoadBalancer", "externalIPs": ["192.0.2.1"]}, {}, ""),
        (
            {"type": "LoadBalancer", "clusterIP": "10.0.0.1"},
            {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
            "",
        ),
    ],
)
def test_load_balancer_needs_an_address(
    spec: dict[str, Any], status: dict[str, Any], message: str
) -> None:
    assert status_of(manifest("Service", "x", spec=spec, status=status)).message == message


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        ([], PROGRESSING),
        ([condition("Established")], READY),
        ([condition("Established", "False", reason="Installing")], PROGRESSING),
        ([condition("Established", "False", reason="NotAccepted")], FAILED),
        ([condition("NamesAccepted", "False", reason="Conflict")], FAILED),
    ],
)
def test_definition_is_ready_when_established(
    conditions: list[dict[str, str]], state: ReadyState
) -> None:
    made = manifest(
        "CustomResourceDefinition",
        "x",
        api_version="apiextensions.k8s.io/v1",
        status={"conditions": conditions},
    )
    assert status_of(made).state is state


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ([], "not available"),
        ([condition("Available")], ""),
        ([condition("Available", "False", reason="MissingEndpoints")], "MissingEndpoints"),
    ],
)
def test_api_service_is_ready_when_available(
    conditions: list[dict[str, str]], message: str
) -> None:
    made = manifest(
        "APIService",
        "x",
        api_version="apiregistration.k8s.io/v1",
        status={"conditions": conditions},
    )
    assert status_of(made).message == message


def test_namespace_that_ends_is_not_ready() -> None:
    assert not status_of(manifest("Namespace", "x", status={"phase": "Terminating"})).ready
    assert status_of(manifest("Namespace", "x", status={"phase": "Active"})).ready


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ({}, READY),
        ("a text", READY),
        ({"conditions": "a text"}, READY),
        ({"observedGeneration": "1"}, READY),
        ({"conditions": [condition("Ready")]}, READY),
        ({"conditions": [condition("Ready", "False")]}, PROGRESSING),
        ({"conditions": [condition("Ready", "Unknown")]}, PROGRESSING),
        ({"conditions": [condition("Reconciling"), condition("Ready")]}, PROGRESSING),
        ({"conditions": [condition("Stalled"), condition("Ready")]}, FAILED),
        ({"conditions": [condition("Stalled", "False"), condition("Deployed", "False")]}, READY),
    ],
)
def test_any_other_kind_is_ready_unless_its_conditions_say_otherwise(
    status: Any, state: ReadyState
) -> None:
    made = manifest("Widget", "x", api_version="example.com/v1", status=status)
    assert status_of(made).state is state


def test_a_database_is_not_ready_before_its_operator_says_so() -> None:
    found = [[], [condition("ConsistentSystemID")], [condition("Ready", "False")]]
    for conditions in found:
        status = {"phase": "Setting up primary", "conditions": conditions}
        made = manifest("Cluster", "x", api_version="postgresql.cnpg.io/v1", status=status)
        assert status_of(made).state is PROGRESSING
    status = {"conditions": [condition("Ready")]}
    made = manifest("Cluster", "x", api_version="postgresql.cnpg.io/v1", status=status)
    assert status_of(made).ready


def test_what_is_being_deleted_is_not_ready() -> None:
    made = manifest("ConfigMap", "x", metadata={"deletionTimestamp": "2030-01-02T03:04:05Z"})
    assert status_of(made).message == "is being deleted"


def test_what_only_exists_is_ready() -> None:
    assert status_of(manifest("ConfigMap", "x")).ready
    pdb = manifest("PodDisruptionBudget", "x", api_version="policy/v1", status={})
    assert status_of(pdb).ready


@pytest.mark.parametrize(
    ("api_version", "kind", "expected"),
    [
        ("apps/v1", "Deployment", True),
        ("v1", "PersistentVolumeClaim", True),
        ("v1", "ConfigMap", False),
        ("rbac.authorization.k8s.io/v1", "Role", False),
        ("autoscaling/v2", "HorizontalPodAutoscaler", False),
        ("argoproj.io/v1alpha1", "EventBus", True),
    ],
)
def test_kinds_with_a_status_are_known(api_version: str, kind: str, *, expected: bool) -> None:
    assert has_status(api_version, kind) is expected


def test_conditions_without_a_type_are_left_out() -> None:
    assert conditions_of({"status": {"conditions": [{"status": "True"}, "x"]}}) == {}
