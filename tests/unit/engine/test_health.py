"""The five checks: what they find, what they skip, and what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.cache import Tail
from cto.engine.health import run_checks
from cto.engine.listcache import ListCache
from cto.engine.look import HealthContext
from cto.errors import ApiError
from cto.objects import Manifest, ref_of
from cto.plan.observed import ReleaseState, State
from cto.result import Check, CheckStatus
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.components import HEARS_WEBHOOKS, RUNS_AGENTS, component
from fakes.desk import lease
from fakes.workloads import NS, crashing, deployment, manifest, pod, waiting

PASSED, FAILED, WARNING, SKIPPED = (
    CheckStatus.PASSED,
    CheckStatus.FAILED,
    CheckStatus.WARNING,
    CheckStatus.SKIPPED,
)
CODE_RUN = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "coderuns.agents.platform"},
    "spec": {
        "group": "agents.platform",
        "scope": "Namespaced",
        "names": {"kind": "CodeRun", "plural": "coderuns"},
        "versions": [{"name": "v1"}],
    },
}
CONFIG = manifest("ConfigMap", "settings")
ACCOUNT = manifest("ServiceAccount", "cto-agent", metadata={"namespace": "cto"})


AGENTS = """
agent: {image: cto.internal/agent:1}
agents:
  rex: {cli: echo, githubApp: CTO-rex, resources: {cpu: "2", memory: 4Gi}}
  cleo: {cli: echo, image: registry.example.com/cleo:1, resources: {requests: {cpu: "1"}}}
"""


def told(text: str = AGENTS) -> Manifest:
    """Return what the controller is told of its agents."""
    named = {"name": "controller-task-controller-config", "namespace": "cto"}
    data = {"config.yaml": text}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": named, "data": data}


def node(name: str = "one", *, ready: str = "True", cpu: str = "4") -> Manifest:
    status = {
        "conditions": [{"type": "Ready", "status": ready}],
        "allocatable": {"cpu": cpu, "memory": "16Gi"},
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def release(component: str, *objects: Manifest, glue: tuple[Manifest, ...] = ()) -> ReleaseState:
    return ReleaseState(
        component=component,
        release=component,
        namespace="cto" if component == "controller" else NS,
        digest="d",
        chart="c",
        objects=tuple(ref_of(one) for one in objects),
        glue=tuple(ref_of(one) for one in glue),
    )


def state(*releases: ReleaseState) -> State:
    return State(
        writer="1", provider="kwok", profile="minimal", releases={r.component: r for r in releases}
    )


def checks(cluster: FakeCluster, found: State | None, **more: Any) -> dict[str, Check]:
    known = (
        component("argocd", title="Argo CD"),
        component("grafana"),
        component("controller", namespace="cto", health=RUNS_AGENTS),
        component("argo-events", health=HEARS_WEBHOOKS),
    )
    context = HealthContext(
        cluster=cluster, clock=FakeClock(), state=found, components=known, **more
    )
    return {check.name: check for check in run_checks(context)}


def healthy() -> tuple[FakeCluster, State]:
    made = deployment(ready=1)
    cluster = FakeCluster([node(), lease("one"), made, CONFIG, CODE_RUN, ACCOUNT, told()])
    return cluster, state(release("argocd", made, glue=(CONFIG,)), release("controller", ACCOUNT))


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("failed", "the last change of release argocd failed"),
        ("pending-upgrade", "release argocd is pending-upgrade: a run is at work on it"),
        ("uninstalling", "release argocd is uninstalling"),
        ("", "Helm has no record of release argocd"),
    ],
)
def test_a_release_that_helm_did_not_finish_is_not_ready_whatever_its_objects_say(
    status: str, text: str
) -> None:
    """Objects of the revision before may be there, and ready."""
    cluster, found = healthy()
    records = {"argocd": status, "controller": "deployed"}
    check = checks(cluster, found, records=records)["components"]
    assert check.status is CheckStatus.FAILED
    assert check.message == "1 of 2 components ready; not ready: Argo CD"
    assert text in check.items[0]
    assert "cto upgrade" in check.fix


def test_healthy_platform_passes_in_the_order_of_the_checks() -> None:
    cluster, found = healthy()
    results = checks(cluster, found)
    assert list(results) == ["kubernetes", "components", "github", "webhooks", "agents"]
    assert [check.status for check in results.values()] == [
        PASSED,
        PASSED,
        SKIPPED,
        SKIPPED,
        PASSED,
    ]
    assert results["kubernetes"].message == "v1.34.4 answers, 1 of 1 nodes ready"
    assert results["components"].message == "2 of 2 components ready"
    assert all(check.message and not check.fix for check in results.values())


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_where_only_the_nodes_are_not_ready_the_other_checks_say_what_they_find(
    status: str,
) -> None:
    """The API server was asked, and answered."""
    cluster, found = healthy()
    cluster.add(node(ready=status))
    results = checks(cluster, found)
    assert results["kubernetes"].status is FAILED
    assert results["components"].message == "2 of 2 components ready"
    assert results["agents"].status is PASSED
    assert not any("could not be asked" in check.message for check in results.values())


def test_checks_change_nothing_and_list_each_kind_once() -> None:
    cluster, found = healthy()
    before = cluster.everything()
    checks(cluster, found)
    assert cluster.everything() == before
    lists = [call for call in cluster.calls if call[0].startswith(("list", "scan"))]
    assert len(lists) == len(set(lists)) == 7


def test_secrets_are_listed_without_what_is_in_them() -> None:
    secret = manifest("Secret", "token", data={"password": "aHVudGVyMg=="})
    cluster = FakeCluster([node(), secret])
    assert checks(cluster, state(release("argocd", secret)))["components"].status is PASSED
    assert {call[0] for call in cluster.calls if call[1] == "Secret"} == {"list_metadata"}


def test_unreachable_api_fails_the_first_check_and_skips_the_others() -> None:
    cluster, found = healthy()
    cluster.fail_next("server_version", ApiError("CTO-1601", "no answer from 192.0.2.1"))
    results = checks(cluster, found)
    assert results["kubernetes"].status is FAILED
    assert results["kubernetes"].message == "no answer from 192.0.2.1"
    assert results["kubernetes"].code == "CTO-1601"
    assert results["kubernetes"].fix
    assert {check.status for check in results.values()} == {FAILED, SKIPPED}


@pytest.mark.parametrize(
    ("nodes", "status", "message"),
    [
        ([node("a"), node("b", ready="Unknown")], WARNING, "1 of 2 nodes ready"),
        ([node("b", ready="False")], FAILED, "0 of 1 nodes ready"),
        ([], FAILED, "0 of 0 nodes ready"),
    ],
)
def test_nodes_that_are_not_ready_are_named(
    nodes: list[Manifest], status: CheckStatus, message: str
) -> None:
    check = checks(FakeCluster(nodes), None)["kubernetes"]
    assert check.status is status
    assert message in check.message
    assert check.items == (("b",) if nodes else ())
    assert check.fix


def test_nothing_installed_is_a_failure_with_its_own_code() -> None:
    check = checks(FakeCluster([node()]), None)["components"]
    assert (check.status, check.code) == (FAILED, "CTO-1901")


def test_component_that_is_not_ready_is_told_with_its_cause_and_fix() -> None:
    bad, good = deployment(), deployment("web", ready=1)
    failing = pod(bad, waiting("ImagePullBackOff", "quay.io/x:y: not found"))
    cluster = FakeCluster([node(), bad, good, failing])
    found = state(release("argocd", bad, CONFIG), release("grafana", good))
    check = checks(cluster, found)["components"]
    assert check.status is FAILED
    assert check.message == "1 of 2 components ready; not ready: Argo CD"
    assert check.items == (
        (
            "Argo CD: Deployment server 0/1 ready: pod server-6b7f-x: ImagePullBackOff: "
            "quay.io/x:y not found"
        ),
        "Argo CD: ConfigMap settings in argocd is missing",
    )
    assert check.code == "CTO-1701"
    assert "registry" in check.fix


def test_missing_objects_ask_for_another_install() -> None:
    check = checks(FakeCluster([node()]), state(release("argocd", CONFIG)))["components"]
    assert check.code == "CTO-1900"
    assert "cto upgrade" in check.fix


def test_workload_that_is_on_its_way_is_not_ready_without_a_cause() -> None:
    made = deployment()
    check = checks(FakeCluster([node(), made]), state(release("argocd", made)))["components"]
    assert check.items == ("Argo CD: Deployment server 0/1 ready",)


def test_job_that_is_gone_has_done_its_work() -> None:
    made = manifest("Job", "migrate", api_version="batch/v1")
    check = checks(FakeCluster([node()]), state(release("argocd", made)))["components"]
    assert check.status is PASSED


def test_few_logs_are_asked_for_however_many_pods_crash() -> None:
    workloads = [deployment(f"d{n}") for n in range(6)]
    pods = [pod(one, crashing()) for one in workloads]
    cluster = FakeCluster([node(), *workloads, *pods])
    for one in pods:
        cluster.container_logs[(NS, one["metadata"]["name"], "main", True)] = "no database"
    check = checks(cluster, state(release("argocd", *workloads)))["components"]
    assert cluster.count("logs") == 3
    assert sum("no database" in item for item in check.items) == 3


def test_log_line_is_remembered() -> None:
    cluster = FakeCluster([pod(deployment(), crashing())])
    view = ListCache(cluster)
    tail = Tail(NS, "server-6b7f-x", "uid", "main", 3, previous=True)
    cluster.container_logs[(NS, "server-6b7f-x", "main", True)] = "no database"
    assert [view.last_line(tail), view.last_line(tail)] == ["no database"] * 2
    assert cluster.count("logs") == 1


def source(*, ready: bool) -> tuple[Manifest, ...]:
    made = manifest("EventSource", "github", api_version="argoproj.io/v1alpha1")
    definition = {
        **CODE_RUN,
        "metadata": {"name": "eventsources.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "EventSource", "plural": "eventsources"},
            "versions": [{"name": "v1alpha1"}],
        },
    }
    conditions = [{"type": "Ready", "status": "True"}] if ready else []
    receiver = pod(None, name="receiver", phase="Running", conditions=conditions)
    receiver["metadata"]["labels"] = {"eventsource-name": "github"}
    return definition, made, receiver


def test_receiver_of_webhooks_must_have_a_ready_pod() -> None:
    definition, made, receiver = source(ready=True)
    found = state(release("argo-events", glue=(made,)))
    check = checks(FakeCluster([node(), definition, made, receiver]), found)["webhooks"]
    assert (check.status, check.message) == (PASSED, "1 of 1 receivers listen")
    deaf = source(ready=False)
    check = checks(FakeCluster([node(), *deaf]), found)["webhooks"]
    items = ("EventSource github in argocd: no pod of it is ready",)
    assert (check.status, check.items) == (FAILED, items)
    assert "describe" in check.fix


def test_simulated_nodes_are_named_and_what_only_programs_answer_is_skipped() -> None:
    definition, made, receiver = source(ready=True)
    cluster = FakeCluster([node(), lease("one"), definition, made, receiver])
    results = checks(cluster, state(release("argo-events", glue=(made,))), simulated=True)
    assert results["webhooks"].status is SKIPPED
    assert results["webhooks"].message.startswith("simulated")
    assert results["kubernetes"].message.endswith("1 of 1 simulated nodes ready")


def test_among_real_nodes_simulated_ones_are_named_and_their_pods_hear_nothing() -> None:
    definition, made, receiver = source(ready=True)
    receiver["spec"]["nodeName"] = "fake"
    fake = node("fake")
    fake["metadata"]["annotations"] = {"kwok.x-k8s.io/node": "fake"}
    cluster = FakeCluster([node(), lease("one"), fake, definition, made, receiver])

    results = checks(cluster, state(release("argo-events", glue=(made,))))

    assert results["kubernetes"].message.endswith("2 of 2 nodes ready; fake simulated")
    assert results["webhooks"].message == "0 of 1 receivers listen"

    cluster.add({**receiver, "spec": {**receiver["spec"], "nodeName": "one"}})
    results = checks(cluster, state(release("argo-events", glue=(made,))))
    assert results["webhooks"].message == "1 of 1 receivers listen"


def test_agents_without_permissions_are_told_which_are_missing() -> None:
    cluster, found = healthy()
    cluster.denied = {("create", "jobs", "cto"), ("watch", "coderuns", "*")}
    check = checks(cluster, found)["agents"]
    assert check.status is FAILED
    assert check.message == "3 of 7 permissions for a run are missing"
    assert "ServiceAccount controller: create jobs (batch)" in check.items
    assert cluster.count("create", "CodeRun") == 0


def test_code_run_that_is_refused_fails_with_the_apis_words() -> None:
    cluster, found = healthy()
    error = ApiError("CTO-1605", "CodeRun refused by policy", status=422, hint="Ask for it.")
    cluster.fail_next("create", error, kind="CodeRun")
    check = checks(cluster, found)["agents"]
    assert (check.status, check.code, check.fix) == (FAILED, "CTO-1605", "Ask for it.")
    assert check.message == "CodeRun refused by policy"


def test_agents_with_the_key_of_a_github_app_are_counted() -> None:
    cluster, found = healthy()
    check = checks(cluster, found)["github"]
    assert (check.status, check.message) == (
        SKIPPED,
        "no agent has the key of a GitHub App: `cto github setup`",
    )
    cluster.add(manifest("Secret", "github-app-cto-rex", metadata={"namespace": "cto"}))
    check = checks(cluster, found)["github"]
    assert check.status is PASSED
    assert check.message.startswith("1 of 2 agents have the key of a GitHub App, not cleo; ")
    cluster.fail_next(
        "list_metadata", ApiError("CTO-1602", "no Secrets", status=403), kind="Secret"
    )
    assert checks(cluster, found)["github"].status is SKIPPED


def test_a_run_that_could_never_begin_is_a_failure() -> None:
    cluster, found = healthy()
    lacking = {"cto.internal/agent:1": "the bundle lacks it"}
    check = checks(cluster, found, lacking=lambda image: lacking.get(image, ""))["agents"]
    assert (check.status, check.items) == (FAILED, ("agent rex: the bundle lacks it",))

    cluster.add(told("agents: {rex: {cli: codex}}"))
    assert checks(cluster, found)["agents"].items == ("agent rex: no image for CLI 'codex'",)

    cluster.add(told("agents: {rex: {maxConcurrent: many}}"))
    check = checks(cluster, found)["agents"]
    assert (check.status, check.code) == (FAILED, "CTO-1300")
    assert "controller-task-controller-config in cto: agents.rex.maxConcurrent: " in check.message

    cluster.delete(ref_of(ACCOUNT))
    cluster.delete(ref_of(told()))
    items = checks(cluster, found)["agents"].items
    assert items[0] == f"{ref_of(ACCOUNT)} is missing"
    assert "controller-task-controller-config is missing" in items[1]


def _busy(name: str, cpu: str, labels: dict[str, str] | None = None) -> Manifest:
    found = pod(None, name=name, phase="Running")
    container = {"name": "one", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    metadata = {**found["metadata"], "labels": labels or {}}
    return {**found, "metadata": metadata, "spec": {"nodeName": "one", "containers": [container]}}


def test_a_run_that_finds_no_node_with_room_is_told_of() -> None:
    cluster, found = healthy()
    cluster.add(_busy("agents-own", "4", {"agents.platform/agent": "rex"}))
    assert checks(cluster, found)["agents"].status is PASSED

    cluster.add(_busy("somebodys", "2500m"))
    check = checks(cluster, found)["agents"]
    assert (check.status, "agents.NAME.resources" in check.fix) == (WARNING, True)
    text = "agent rex: no node has 2 CPU and 4 GiB of memory left for a run"
    assert check.items == (text,)

    cluster.add(node("two", cpu="2"))
    assert checks(cluster, found)["agents"].status is PASSED
    cluster.add(node("two", cpu="2", ready="False"))
    cluster.add(node("gk3-three", cpu="1"))
    check = checks(cluster, found)["agents"]
    assert (check.status, check.items) == (PASSED, (text,))
    assert "GKE Autopilot would add a node" in check.message


def test_room_is_looked_for_on_some_nodes_and_never_guessed() -> None:
    cluster, found = healthy()
    for number in range(30):
        cluster.add(node(f"node-{number}"))
        item = _busy(f"pod-{number}", "3")
        cluster.add({**item, "spec": {**item["spec"], "nodeName": f"node-{number}"}})
    cluster.add(_busy("somebodys", "3"))
    check = checks(cluster, found)["agents"]
    assert check.status is PASSED
    assert "not known: 20 of 31 nodes were looked at, and are full" in check.message


def test_agents_are_skipped_where_there_is_no_controller() -> None:
    made = deployment(ready=1)
    check = checks(FakeCluster([node(), made]), state(release("argocd", made)))["agents"]
    assert check.status is SKIPPED


def test_each_check_says_how_long_it_took() -> None:
    clock = FakeClock()

    class Slow(FakeCluster):
        def server_version(self) -> str:
            clock.advance(1.5)
            return "v1"

    slow = Slow([node()])
    results = run_checks(HealthContext(cluster=slow, clock=clock, state=None))
    assert results[0].seconds == 1.5
