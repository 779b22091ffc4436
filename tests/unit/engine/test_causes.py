"""Every failure names its cause, the most telling one first, in one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cto.engine import waitlimits
from cto.engine.cache import Lacking, nothing_lacks
from cto.engine.causes import Cause, causes_of, finalizers_of
from cto.engine.evidence import ClaimLookup, Evidence, one_line
from cto.engine.listcache import ListCache
from cto.engine.readiness import status_of
from cto.errors import KINDS, ApiError
from cto.objects import Manifest
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.workloads import (
    NS,
    claim,
    crashing,
    deployment,
    ended,
    event,
    failed,
    job,
    manifest,
    pod,
    stateful_set,
    storage_class,
    unscheduled,
    uses,
    waiting,
)

NOT_FOUND = (
    'Back-off pulling image "quay.io/x:y": ErrImagePull: rpc error: code = NotFound desc = failed '
    'to pull and unpack image "quay.io/x:y": failed to resolve reference "quay.io/x:y": '
    "quay.io/x:y: not found"
)


def causes(
    root: Manifest,
    *others: Manifest,
    age_s: float = 0,
    logs: Any = None,
    lacking: Lacking = nothing_lacks,
) -> list[Cause]:
    cluster = FakeCluster([root, *others])
    cluster.container_logs.update(logs or {})
    clock = FakeClock()
    evidence = Evidence(
        ListCache(cluster, lacking), NS, lambda: clock.now() + timedelta(seconds=age_s)
    )
    return causes_of(evidence, root)


def cause(root: Manifest, *others: Manifest, **more: Any) -> Cause:
    return causes(root, *others, **more)[0]


@pytest.mark.parametrize(
    ("container", "code", "row", "text"),
    [
        (
            waiting("ImagePullBackOff", NOT_FOUND),
            "CTO-1701",
            "image-missing",
            "ImagePullBackOff: quay.io/x:y not found",
        ),
        (
            waiting("ErrImagePull", 'Failed to pull image "quay.io/x:y": manifest unknown'),
            "CTO-1701",
            "image-missing",
            "ImagePullBackOff: quay.io/x:y not found",
        ),
        (
            waiting("ImagePullBackOff", "pull access denied, repository may require login"),
            "CTO-1701",
            "image-denied",
            "ImagePullBackOff: quay.io/x:y: pull access denied, repository may require login",
        ),
        (
            waiting("ErrImagePull", "dial tcp: lookup quay.io: no such host"),
            "CTO-1701",
            "image-network",
            "ImagePullBackOff: quay.io/x:y: dial tcp: lookup quay.io: no such host",
        ),
        (
            waiting("ErrImagePull", "out of cheese"),
            "CTO-1701",
            "image",
            "ImagePullBackOff: quay.io/x:y: out of cheese",
        ),
        (
            waiting("ImagePullBackOff", 'Back-off pulling image "quay.io/x:y"'),
            "CTO-1701",
            "image",
            "ImagePullBackOff: quay.io/x:y: no cause told",
        ),
        (
            waiting("InvalidImageName", "couldn't parse", image="A B"),
            "CTO-1701",
            "image-name",
            "InvalidImageName: A B",
        ),
        (
            waiting("ErrImageNeverPull"),
            "CTO-1701",
            "image-never",
            "ErrImageNeverPull: quay.io/x:y is not on the node",
        ),
        (
            waiting("CreateContainerConfigError", 'secret "argocd-redis" not found'),
            "CTO-1710",
            "config-missing",
            'CreateContainerConfigError: container main: secret "argocd-redis" not found',
        ),
        (
            waiting("RunContainerError", 'exec: "srv": not found in $PATH'),
            "CTO-1702",
            "start",
            'RunContainerError: container main: exec: "srv": not found in $PATH',
        ),
        (
            crashing(),
            "CTO-1702",
            "crash",
            "CrashLoopBackOff: container main exit code 1 (Error), 3 restarts",
        ),
        (
            crashing(127, ""),
            "CTO-1702",
            "start",
            "CrashLoopBackOff: container main exit code 127, 3 restarts",
        ),
        (
            crashing(137, "OOMKilled", restarts=1),
            "CTO-1702",
            "memory",
            (
                "CrashLoopBackOff: container main OOMKilled: it used more memory than its limit, "
                "1 restart"
            ),
        ),
        (
            {"name": "main", "state": ended(2)},
            "CTO-1702",
            "crash",
            "container main exit code 2 (Error)",
        ),
        (
            {"name": "main", "state": {"running": {}}, "lastState": ended(2), "restartCount": 2},
            "CTO-1702",
            "crash",
            "CrashLoopBackOff: container main exit code 2 (Error), 2 restarts",
        ),
    ],
)
def test_container_that_cannot_run_says_why(
    container: Manifest, code: str, row: str, text: str
) -> None:
    found = cause(deployment(), pod(deployment(), container))
    assert (found.code, found.row) == (code, row)
    assert found.message == f"pod server-6b7f-x: {text}"
    assert found.patience_s == waitlimits.row(row).patience_s
    assert str(found.object) == "Pod server-6b7f-x in argocd"
    assert str(found.root) == "Deployment server in argocd"


def test_init_containers_are_looked_at_as_well() -> None:
    made = pod(deployment(), waiting("PodInitializing"), initContainerStatuses=[crashing()])
    assert "CrashLoopBackOff: init container main exit code 1" in cause(deployment(), made).message


def test_before_kubernetes_1_31_the_registrys_answer_is_in_an_event() -> None:
    made = pod(deployment(), waiting("ImagePullBackOff", 'Back-off pulling image "quay.io/x:y"'))
    told = event(made, "Failed", 'Failed to pull image "quay.io/x:y": x: not found')
    other = event(made, "Failed", "Error: ImagePullBackOff", at=3)
    assert cause(deployment(), made, told, other).row == "image-missing"


@pytest.mark.parametrize("message", [NOT_FOUND, "quay.io/x:y: manifest unknown"])
def test_an_image_that_the_bundle_lacks_is_called_so(message: str) -> None:
    """Nodes may ask nobody else, so it will not come: five seconds, and not minutes."""
    made = pod(deployment(), waiting("ErrImagePull", message))
    found = cause(deployment(), made, lacking=lambda image: f"image not in bundle: {image}")
    assert (found.row, found.code, found.patience_s) == ("image-bundle", "CTO-1712", 5)
    assert found.message == "pod server-6b7f-x: image not in bundle: quay.io/x:y"
    assert "unknown" in found.details or "not found" in found.details


def test_an_image_that_the_bundle_has_and_a_network_that_fails_are_called_as_ever() -> None:
    made = pod(deployment(), waiting("ErrImagePull", NOT_FOUND))
    assert cause(deployment(), made, lacking=lambda _: "").row == "image-missing"
    made = pod(deployment(), waiting("ErrImagePull", "dial tcp: connection refused"))
    assert cause(deployment(), made, lacking=lambda _: "lacks it").row == "image-network"


@pytest.mark.parametrize("previous", [True, False])
def test_crash_shows_the_last_log_line_of_the_run_that_ended(previous: bool) -> None:  # noqa: FBT001 - pytest's parameter
    logs = {(NS, "server-6b7f-x", "main", previous): "starting\n\x1b[31mno\tdatabase\n\n"}
    found = cause(deployment(), pod(deployment(), crashing()), logs=logs)
    assert found.message.endswith(", last line: no database")


def test_crash_without_a_log_shows_the_termination_message() -> None:
    container = waiting(
        "CrashLoopBackOff", restartCount=1, lastState=ended(1, message="no database")
    )
    found = cause(deployment(), pod(deployment(), container))
    assert found.message.endswith("exit code 1 (Error), 1 restart, last line: no database")


def test_log_that_is_refused_leaves_the_rest_of_the_cause() -> None:
    cluster = FakeCluster([deployment(), pod(deployment(), crashing())])
    cluster.fail_next("logs", ApiError("CTO-1600", "no kubelet", status=500), times=2)
    evidence = Evidence(ListCache(cluster), NS, FakeClock().now)
    assert causes_of(evidence, deployment())[0].message.endswith("3 restarts")


def test_container_that_ended_well_or_is_ready_is_no_cause() -> None:
    done = {"name": "main", "state": ended(0, "Completed")}
    ready = {"name": "side", "state": {"running": {}}, "lastState": ended(1), "ready": True}
    assert causes(deployment(), pod(deployment(), done, ready, phase="Running")) == []


def test_causes_of_several_pods_are_counted_once() -> None:
    pods = [pod(deployment(), waiting("ErrImagePull", "not found"), name=f"p{n}") for n in range(2)]
    fine = pod(
        deployment(), name="p9", phase="Running", conditions=[{"type": "Ready", "status": "True"}]
    )
    found = causes(deployment(), *pods, fine)
    expected = ["pod p0: ImagePullBackOff: quay.io/x:y not found (2 of 3 pods)"]
    assert [one.message for one in found] == expected


def test_pods_of_others_and_pods_that_end_are_no_cause() -> None:
    ending = pod(deployment(), waiting("ErrImagePull", "not found"))
    ending["metadata"]["deletionTimestamp"] = "2030-01-02T03:04:05Z"
    other = pod(deployment("other"), waiting("ErrImagePull", "not found"))
    bare = pod(None, waiting("ErrImagePull", "not found"), name="bare")
    assert causes(deployment(), ending, other, bare) == []


def test_the_most_telling_cause_comes_first() -> None:
    unhealthy = pod(deployment(), phase="Running", name="a")
    pulling = pod(deployment(), waiting("ErrImagePull", "not found"), name="b")
    found = causes(
        deployment(), unhealthy, pulling, event(unhealthy, "Unhealthy", "HTTP probe: 503")
    )
    assert [one.row for one in found] == ["image-missing", "probe"]


@pytest.mark.parametrize(
    ("message", "events", "row"),
    [
        ("0/1 nodes are available: 1 Insufficient memory.", [], "unschedulable"),
        ("no nodes available to schedule pods", [], "nodes"),
        ("1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }", [], "nodes"),
        ("0/1 nodes are available", ["TriggeredScaleUp"], "scale-up"),
    ],
)
def test_unschedulable_pod_shows_the_schedulers_reason(
    message: str, events: list[str], row: str
) -> None:
    made = pod(deployment(), **unscheduled(message))
    found = cause(deployment(), made, *(event(made, reason, "") for reason in events))
    assert (found.code, found.row) == ("CTO-1703", row)
    assert f"Unschedulable: {message}" in found.message


def test_gated_pod_shows_its_gate_even_without_a_message() -> None:
    made = pod(deployment(), **unscheduled("", "SchedulingGated"))
    assert cause(deployment(), made).message == "pod server-6b7f-x: SchedulingGated"


def test_failed_job_shows_reason_and_last_line_of_its_last_pod() -> None:
    hook = job(conditions=[failed(message="Job has reached the specified backoff limit")])
    old = pod(hook, {"name": "main", "state": ended(3)}, name="old", phase="Failed")
    new = pod(hook, {"name": "main", "state": ended(1)}, name="z", phase="Failed")
    sound = pod(hook, {"name": "main", "state": ended(0)}, name="a", phase="Succeeded")
    logs = {(NS, "z", "main", False): "could not reach the API"}
    found = causes(hook, old, sound, new, logs=logs)
    expected = (
        "Job hook: failed: BackoffLimitExceeded: container main exit code 1 (Error), "
        "last line: could not reach the API"
    )
    assert [one.message for one in found] == [expected]
    assert (found[0].code, found[0].patience_s) == ("CTO-1704", 5)


def test_failed_job_without_pods_shows_what_its_condition_says() -> None:
    found = cause(job(conditions=[failed("DeadlineExceeded", "too slow")]))
    assert found.message == "Job hook: failed: DeadlineExceeded: too slow"


def test_job_that_may_try_again_shows_the_failed_attempt_without_giving_up() -> None:
    broken = pod(job(), {"name": "main", "state": ended(1)}, phase="Failed")
    evicted = pod(job(), name="evicted", phase="Failed", reason="Evicted")
    found = causes(job(), broken, evicted)
    assert [one.row for one in found] == ["attempt"]
    assert found[0].patience_s == float("inf")
    assert causes(job(), evicted)[0].message == "pod evicted: failed: Evicted"


@pytest.mark.parametrize(
    ("reason", "message", "row", "code"),
    [
        ("FailedMount", 'MountVolume.SetUp: secret "tls" not found', "config-missing", "CTO-1710"),
        ("FailedAttachVolume", "Multi-Attach error", "mount", "CTO-1705"),
        ("FailedCreatePodSandBox", "no network", "sandbox", "CTO-1700"),
    ],
)
def test_pod_whose_status_says_nothing_is_explained_by_its_events(
    reason: str, message: str, row: str, code: str
) -> None:
    made = pod(deployment(), waiting("ContainerCreating"))
    found = cause(deployment(), made, event(made, reason, message), event(made, "Pulled", "", at=9))
    assert (found.row, found.code) == (row, code)
    assert f"{reason}: {message}" in found.message


def test_pod_without_events_has_no_cause() -> None:
    assert causes(deployment(), pod(deployment(), waiting("ContainerCreating"))) == []


def test_failing_probe_never_ends_the_wait_early() -> None:
    made = pod(deployment(), phase="Running")
    found = cause(deployment(), made, event(made, "Unhealthy", "Readiness probe failed: 503"))
    assert found.message == "pod server-6b7f-x: Readiness probe failed: 503"
    assert (found.code, found.patience_s) == ("CTO-1711", float("inf"))


def test_events_about_an_earlier_object_of_the_name_do_not_count() -> None:
    made = pod(deployment(), phase="Running")
    old = event(made, "Unhealthy", "Readiness probe failed")
    old["involvedObject"]["uid"] = "another"
    assert causes(deployment(), made, old) == []


@pytest.mark.parametrize(
    ("message", "row", "code"),
    [
        ('pods "x" is forbidden: exceeded quota: small, requested: cpu=1', "quota", "CTO-1707"),
        ('pods "x" is forbidden: violates PodSecurity "restricted"', "admission", "CTO-1708"),
        ('admission webhook "policy" denied the request', "admission", "CTO-1708"),
        ('failed calling webhook "policy": connection refused', "webhook", "CTO-1708"),
        ('error looking up service account argocd/x: "x" not found', "config-missing", "CTO-1710"),
        ("etcdserver: leader changed", "create", "CTO-1700"),
    ],
)
def test_pods_that_are_refused_show_who_refused_them(message: str, row: str, code: str) -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "message": message}
    by_condition = deployment()
    by_condition["status"]["conditions"] = [refused]
    by_event = stateful_set()
    made = [
        cause(by_condition),
        cause(by_event, event(by_event, "FailedCreate", message, at=2)),
    ]
    assert {(one.row, one.code) for one in made} == {(row, code)}
    said = message.removeprefix('pods "x" is forbidden: ')
    assert all(f": pods are refused: {said}" in one.message for one in made)
    assert all(one.details == message for one in made)


def test_repeated_refusals_read_the_same() -> None:
    refusal = 'pods "db-x7" is forbidden: violates PodSecurity "restricted"'
    texts = [
        refusal,
        f"Error creating: {refusal}",
        f"(combined from similar events): Error creating: {refusal}",
        f"create Pod db-0 in StatefulSet db failed error: {refusal}",
    ]
    told = [
        cause(stateful_set(), event(stateful_set(), "FailedCreate", text)).message for text in texts
    ]
    expected = 'StatefulSet db: pods are refused: violates PodSecurity "restricted"'
    assert set(told) == {expected}


def test_schedulers_words_about_preemption_are_left_to_the_details() -> None:
    said = "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available"
    found = cause(deployment(), pod(deployment(), **unscheduled(said)))
    assert found.message.endswith("1 Insufficient memory.")
    assert found.details == said


def test_refusal_is_over_once_pods_are_created_again() -> None:
    old = event(stateful_set(), "FailedCreate", "exceeded quota", at=1)
    new = event(stateful_set(), "SuccessfulCreate", "created", at=2)
    new["lastTimestamp"] = None
    new["series"] = {"lastObservedTime": "2030-01-02T03:05:07.000001Z"}
    assert causes(stateful_set(), old, new) == []


@pytest.mark.parametrize(
    ("spec", "classes", "events", "row", "text"),
    [
        (
            {},
            [],
            [],
            "claim-class",
            "Pending: it names no StorageClass, and none is the default",
        ),
        (
            {"storageClassName": "fast"},
            [storage_class()],
            [],
            "claim-class",
            "Pending: there is no StorageClass fast",
        ),
        (
            {},
            [storage_class()],
            [("ProvisioningFailed", "disk is full"), ("ExternalProvisioning", "waiting")],
            "claim-provider",
            "Pending: disk is full",
        ),
        (
            {"storageClassName": ""},
            [],
            [("FailedBinding", "no persistent volumes available")],
            "claim-class",
            "Pending: no persistent volumes available",
        ),
        (
            {"storageClassName": "local"},
            [storage_class()],
            [("ExternalProvisioning", "waiting for a volume")],
            "claim",
            "Pending: waiting for a volume",
        ),
        ({}, [storage_class()], [], "claim", "Pending"),
    ],
)
def test_pending_claim_says_why(
    spec: dict[str, str],
    classes: list[Manifest],
    events: list[tuple[str, str]],
    row: str,
    text: str,
) -> None:
    made = claim(**spec)
    told = [event(made, reason, message) for reason, message in events]
    found = cause(made, *classes, *told)
    assert (found.code, found.row) == ("CTO-1705", row)
    assert found.message == f"PersistentVolumeClaim data: {text}"


def test_pod_that_waits_for_its_claim_shows_the_claims_cause_first() -> None:
    made = pod(stateful_set(), **unscheduled("unbound claims"), volumes=uses("data"))
    found = causes(stateful_set(), made, claim(storageClassName="fast"), storage_class())
    assert [one.row for one in found] == ["claim-class", "unschedulable"]
    assert found[0].root.kind == "StatefulSet"


def test_bound_claim_is_no_cause_and_a_lost_one_is() -> None:
    made = pod(stateful_set(), **unscheduled("no room"), volumes=uses("data"))
    assert len(causes(stateful_set(), made, claim(phase="Bound"))) == 1
    assert cause(claim(phase="Lost")).row == "failed"


@pytest.mark.parametrize(("mode", "ready"), [("WaitForFirstConsumer", True), ("Immediate", False)])
def test_claim_that_waits_for_a_consumer_is_ready_until_there_is_one(
    mode: str, *, ready: bool
) -> None:
    made = claim(storageClassName="local")
    over = pod(job(), volumes=uses("data"), phase="Succeeded", name="over")
    cluster = FakeCluster([made, storage_class(mode=mode), over])
    assert status_of(made, ClaimLookup(ListCache(cluster))).ready is ready
    cluster.add(pod(deployment(), volumes=[{"name": "tmp", "emptyDir": {}}, *uses("data")]))
    assert not status_of(made, ClaimLookup(ListCache(cluster))).ready


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (
            [{"type": "NamesAccepted", "status": "False", "message": "kind is taken"}],
            ["CustomResourceDefinition x: not NamesAccepted: kind is taken"],
        ),
        ([{"type": "Established", "status": "False", "reason": "Installing"}], []),
        ([], []),
    ],
)
def test_definition_that_is_not_established_shows_the_condition(
    conditions: list[dict[str, str]], expected: list[str]
) -> None:
    made = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x"},
        "status": {"conditions": conditions},
    }
    evidence = Evidence(ListCache(FakeCluster()), "", FakeClock().now)
    found = causes_of(evidence, made)
    assert [one.message for one in found] == expected
    assert {one.code for one in found} <= {"CTO-1706"}


def test_deletion_names_the_finalizer_that_holds_it() -> None:
    made = deployment()
    made["metadata"] |= {"deletionTimestamp": "2030-01-02T03:04:05Z", "finalizers": ["a/b", "c"]}
    found = cause(made)
    assert found.message == "Deployment server: held by finalizer a/b, c"
    assert (found.code, found.row) == ("CTO-1709", "finalizer")
    del made["metadata"]["finalizers"]
    assert causes(made) == []


def test_namespace_that_ends_says_what_is_left_in_it() -> None:
    conditions = [
        {"type": "NamespaceContentRemaining", "status": "True", "message": "apps has 2 instances"},
        {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "all fine"},
    ]
    made = manifest("Namespace", "x", status={"conditions": conditions})
    assert finalizers_of(made) == "apps has 2 instances"


def test_what_failed_without_any_evidence_is_told_by_its_own_words() -> None:
    made = manifest(
        "Thing",
        "db",
        api_version="example.com/v1",
        status={"conditions": [{"type": "Stalled", "status": "True", "message": "gave up"}]},
    )
    evidence = Evidence(ListCache(FakeCluster()), NS, FakeClock().now)
    assert [one.message for one in causes_of(evidence, made)] == ["Thing db: gave up"]


def test_pods_are_found_through_owners_of_owners() -> None:
    root = manifest("Cluster", "db", api_version="postgresql.cnpg.io/v1", status={})
    middle = stateful_set()
    middle["metadata"]["ownerReferences"] = [{"kind": "Cluster", "name": "db"}]
    cluster = FakeCluster([middle, pod(middle, waiting("ErrImagePull", "not found"))])
    found = causes_of(Evidence(ListCache(cluster), NS, FakeClock().now), root)
    assert [one.row for one in found] == ["image-missing"]


def test_a_pod_is_explained_like_the_pods_of_a_workload() -> None:
    made = pod(None, waiting("ErrImagePull", "not found"), name="hook")
    assert cause(made).message == "pod hook: ImagePullBackOff: quay.io/x:y not found"


@pytest.mark.parametrize(
    ("made", "young_s", "old_s"),
    [
        (waiting("ErrImagePull", "not found"), 20, 330),
        (crashing(), 120, 330),
        (waiting("InvalidImageName"), 0, 0),
    ],
)
def test_what_failed_for_long_gets_the_time_until_kubelets_next_try(
    made: Manifest, young_s: float, old_s: float
) -> None:
    failing = pod(deployment(), made)
    assert cause(deployment(), failing).patience_s == young_s
    if young_s:
        assert cause(deployment(), failing, age_s=100).patience_s == young_s + 100
    assert cause(deployment(), failing, age_s=600).patience_s == old_s


def test_age_that_cannot_be_told_is_none() -> None:
    evidence = Evidence(ListCache(FakeCluster()), NS, FakeClock().now)
    odd: list[Callable[[], dict[str, Any]]] = [dict, lambda: {"creationTimestamp": "yesterday"}]
    assert [evidence.age_s({"metadata": make()}) for make in odd] == [0.0, 0.0]


def test_texts_of_programs_are_one_short_line() -> None:
    assert one_line("a\n\tb\x07 c") == "a b c"
    assert len(one_line("x" * 999)) == 240


def test_every_row_has_a_code_of_the_table_and_a_reason() -> None:
    assert len({row.name for row in waitlimits.ROWS}) == len(waitlimits.ROWS)
    assert all(row.code in KINDS and row.reason and row.patience_s >= 0 for row in waitlimits.ROWS)


def test_cause_becomes_an_error_with_its_message_and_its_fix() -> None:
    error = cause(deployment(), pod(deployment(), waiting("InvalidImageName"))).error()
    assert (error.code, error.exit_code) == ("CTO-1701", 7)
    assert error.hint == KINDS["CTO-1701"].fix
