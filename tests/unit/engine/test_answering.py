"""Health is what answers now, not what stands written: nodes, programs, receivers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest

from cto.catalog import Probe
from cto.engine.answering import PATIENCE_S, SECOND_PATIENCE_S
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
from fakes.desk import lease, node
from fakes.workloads import NS, deployment, manifest, pod
from fakes.world import crd

OLD = "2030-01-02T03:03:20.000000Z"
WEB = (NS, Probe(service="web", port=80, path="/healthz"))
SILENT = ApiError("CTO-1601", "ask service web in argocd: no answer")
FORBIDDEN = ApiError(
    "CTO-1602", 'ask service web: User "x" cannot get resource services/proxy', status=403
)


def state(**objects: tuple[Manifest, ...]) -> State:
    releases = {
        name: ReleaseState(
            component=name,
            release=name,
            namespace=NS,
            digest="d",
            chart="c",
            objects=tuple(ref_of(one) for one in found),
        )
        for name, found in objects.items()
    }
    return State(writer="1", provider="kind", profile="minimal", releases=releases)


def service(name: str = "web", **selector: str) -> Manifest:
    return manifest("Service", name, spec={"selector": selector, "ports": [{"port": 80}]})


def checks(
    cluster: FakeCluster,
    found: State | None = None,
    probes: Mapping[str, tuple[str, Probe]] | None = None,
    **more: Any,
) -> dict[str, Check]:
    known = [
        component(name, namespace=NS, ready={"probe": probe.model_dump()}, health=RUNS_AGENTS)
        for name, (_, probe) in (probes or {}).items()
    ]
    known.append(component("events", health=HEARS_WEBHOOKS))
    context = HealthContext(
        cluster=cluster, clock=FakeClock(), state=found, components=known, **more
    )
    return {check.name: check for check in run_checks(context)}


def running(status: int = 200) -> FakeCluster:
    """Return a cluster where everything says that it is ready."""
    cluster = FakeCluster([node("one"), lease("one"), deployment("web", ready=1), service()])
    cluster.probes[(NS, "web")] = status
    return cluster


INSTALLED = state(web=(deployment("web"),))


# nodes


@pytest.mark.parametrize(
    ("renewed", "status"),
    [
        ("2030-01-02T03:03:25.000000Z", CheckStatus.PASSED),
        (OLD, CheckStatus.FAILED),
        ("2030-01-02T03:03:20Z", CheckStatus.FAILED),
        ("2029-12-31T00:00:00.000000Z", CheckStatus.FAILED),
        ("2030-01-02T09:00:00.000000Z", CheckStatus.PASSED),
    ],
)
def test_a_node_whose_lease_is_over_does_not_answer(renewed: str, status: CheckStatus) -> None:
    check = checks(FakeCluster([node("one"), lease("one", renewed)]))["kubernetes"]
    assert check.status is status
    if status is CheckStatus.FAILED:
        assert check.message == "v1.34.4 answers, 0 of 1 nodes ready"
        assert check.items == (f"one: it says Ready, and was last heard of at {renewed}",)
        assert "node one" in check.fix


def test_one_silent_node_of_several_is_named_in_a_warning() -> None:
    nodes = [node("a"), node("b"), lease("a"), lease("b", OLD)]
    check = checks(FakeCluster(nodes))["kubernetes"]
    assert (check.status, check.items) == (
        CheckStatus.WARNING,
        (f"b: it says Ready, and was last heard of at {OLD}",),
    )
    assert "1 of 2 nodes ready" in check.message


def test_of_nodes_that_were_just_seen_only_the_leases_are_asked_for_again() -> None:
    """What the status says may be some seconds old; whether somebody keeps it up must not be."""
    cluster = FakeCluster([node("one"), lease("one")])
    view = ListCache(cluster)
    view.nodes()
    cluster.add(lease("one", OLD))
    check = checks(cluster, view=view)["kubernetes"]
    assert check.status is CheckStatus.FAILED
    assert cluster.count("scan", "Node") == 1
    assert cluster.count("scan", "Lease") == 1


def test_a_lease_may_be_longer_than_usual() -> None:
    kept = lease("one", OLD)
    kept["spec"]["leaseDurationSeconds"] = 120
    assert checks(FakeCluster([node("one"), kept]))["kubernetes"].status is CheckStatus.PASSED


def test_it_is_the_servers_clock_that_counts() -> None:
    cluster = FakeCluster([node("one"), lease("one")])
    cluster.time = datetime(2030, 1, 2, 3, 4, tzinfo=UTC) + timedelta(seconds=41)
    assert checks(cluster)["kubernetes"].status is CheckStatus.FAILED


@pytest.mark.parametrize("spec", [None, {}, {"renewTime": None}, {"renewTime": "yesterday"}])
def test_a_node_of_which_nobody_knows_when_it_was_heard_of_is_told(spec: Any) -> None:
    cluster = FakeCluster([node("one"), {**lease("one"), "spec": spec}])
    check = checks(cluster)["kubernetes"]
    assert check.status is CheckStatus.WARNING
    assert check.message.endswith("whether one answers is not known: it keeps no Lease")


def test_simulated_nodes_need_not_keep_leases() -> None:
    check = checks(FakeCluster([node("one", simulated=True)]), simulated=True)["kubernetes"]
    assert check.status is CheckStatus.PASSED


def test_without_a_right_to_the_leases_nobody_says_that_nodes_answer() -> None:
    cluster = running()
    error = ApiError("CTO-1602", "list leases: forbidden", status=403)
    cluster.fail_next("scan", error, kind="Lease")
    check = checks(cluster)["kubernetes"]
    assert check.status is CheckStatus.WARNING
    assert check.message.endswith("whether they answer is not known: list leases: forbidden")
    assert "kube-node-lease" in check.fix


def test_a_workload_on_nothing_but_silent_nodes_is_not_ready() -> None:
    """Where nothing can be asked, the last word of a dead kubelet does not count."""
    made = deployment("web", ready=1)
    one = pod(made, phase="Running")
    one["spec"]["nodeName"] = "one"
    cluster = FakeCluster([node("one"), lease("one", OLD), made, one])
    check = checks(cluster, INSTALLED)["components"]
    assert check.status is CheckStatus.FAILED
    text = f"web: Deployment web is said to be ready by node one, last heard of at {OLD}"
    assert check.items == (text,)


def test_a_workload_with_a_pod_on_a_node_that_answers_is_ready() -> None:
    made = deployment("web", ready=2)
    pods = [pod(made, name=name, phase="Running") for name in ("p", "q")]
    for one, name in zip(pods, ("one", "two"), strict=True):
        one["spec"]["nodeName"] = name
    nodes = [node("one"), node("two"), lease("one", OLD), lease("two")]
    assert checks(FakeCluster([*nodes, made, *pods]), INSTALLED)["components"].status is (
        CheckStatus.PASSED
    )


def test_a_program_that_answers_is_ready_whatever_its_node_does() -> None:
    cluster = running()
    cluster.add(lease("one", OLD))
    one = pod(deployment("web"), phase="Running")
    one["spec"]["nodeName"] = "one"
    cluster.add(one)
    results = checks(cluster, INSTALLED, {"web": WEB})
    assert results["kubernetes"].status is CheckStatus.FAILED
    assert results["components"].status is CheckStatus.PASSED


# programs


@pytest.mark.parametrize("status", [200, 204, 302])
def test_programs_that_answer_are_counted(status: int) -> None:
    check = checks(running(status), INSTALLED, {"web": WEB})["components"]
    assert check.status is CheckStatus.PASSED
    assert check.message == "1 of 1 components ready, 1 of 1 programs answer"


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_a_program_that_does_not_answer_well_is_not_ready_whatever_its_objects_say(
    status: int,
) -> None:
    check = checks(running(status), INSTALLED, {"web": WEB})["components"]
    assert check.status is CheckStatus.FAILED
    assert check.message == "0 of 1 components ready; not ready: Web"
    answer = f"service web in argocd answers GET /healthz with status {status}"
    assert check.items == (f"Web: {answer}",)
    assert "get pods" in check.fix


def test_what_does_not_answer_in_time_failed() -> None:
    cluster = running()
    cluster.fail_next("probe", SILENT, times=2)
    check = checks(cluster, INSTALLED, {"web": WEB})["components"]
    assert check.status is CheckStatus.FAILED
    assert check.items == ("Web: service web in argocd does not answer within 4 s",)


def test_what_may_not_be_asked_is_told_and_never_counted_as_answering() -> None:
    cluster = running()
    cluster.fail_next("probe", FORBIDDEN)
    check = checks(cluster, INSTALLED, {"web": WEB})["components"]
    assert check.status is CheckStatus.WARNING
    assert "0 of 1 programs answer, the others could not be asked" in check.message
    assert "services/proxy" in check.message
    assert "services/proxy" in check.fix


def test_on_simulated_nodes_nothing_is_asked_and_that_is_told() -> None:
    cluster = running()
    check = checks(cluster, INSTALLED, {"web": WEB}, simulated=True)["components"]
    assert check.message == "1 of 1 components ready; simulated: no program could answer"
    assert cluster.count("probe") == 0


def test_who_is_slow_to_answer_is_asked_once_more() -> None:
    """On a busy machine a status said that programs which work do not answer."""
    cluster = running()
    cluster.fail_next("probe", SILENT)
    check = checks(cluster, INSTALLED, {"web": WEB})["components"]
    assert check.message == "1 of 1 components ready, 1 of 1 programs answer"
    assert cluster.patience == [SECOND_PATIENCE_S]


def test_programs_are_asked_all_at_once_and_not_for_long() -> None:
    """A status takes a second at most, however many do not answer."""
    names = [f"c{number}" for number in range(9)]
    meeting = Barrier(len(names))

    class Meeting(FakeCluster):
        def probe(self, *arguments: Any, **settings: Any) -> int:
            meeting.wait(5)
            return super().probe(*arguments, **settings)

    cluster = Meeting([node("one"), lease("one"), *map(service, names)])
    probes = {name: (NS, Probe(service=name, port=80, path="/")) for name in names}
    check = checks(cluster, state(**dict.fromkeys(names, ())), probes)["components"]
    assert check.message.startswith("0 of 9 components ready")
    assert cluster.patience == [PATIENCE_S] * 9
    assert PATIENCE_S < 1


def test_only_what_is_installed_is_asked() -> None:
    cluster = running()
    checks(cluster, INSTALLED, {"web": WEB, "other": (NS, WEB[1])})
    assert cluster.count("probe") == 1


# agents


def test_agents_are_not_ready_where_the_controller_does_not_answer() -> None:
    made = deployment("web", ready=1)
    runs = crd("coderuns.agents.platform", "CodeRun")
    cluster = FakeCluster([node("one"), lease("one"), made, service(), runs])
    check = checks(cluster, state(controller=(made,)), {"controller": WEB})["agents"]
    assert check.status is CheckStatus.FAILED
    assert check.message.endswith("would be accepted, but not acted on")
    assert check.items == ("service web in argocd answers GET /healthz with status 503",)


# receivers of webhooks


def receiver() -> FakeCluster:
    made = pod(
        None,
        name="receiver",
        phase="Running",
        conditions=[{"type": "Ready", "status": "True"}],
    )
    made["metadata"]["labels"] = {"eventsource-name": "github"}
    return FakeCluster(
        [
            node("one"),
            lease("one"),
            made,
            service("door", **{"eventsource-name": "github"}),
            service("others", **{"eventsource-name": "gitlab"}),
        ]
    )


SOURCE = state(events=(manifest("EventSource", "github", api_version="argoproj.io/v1alpha1"),))


@pytest.mark.parametrize("status", [200, 400, 404, 405])
def test_any_answer_of_a_receiver_says_that_it_listens(status: int) -> None:
    cluster = receiver()
    cluster.probes[(NS, "door")] = status
    assert checks(cluster, SOURCE)["webhooks"].status is CheckStatus.PASSED


def test_a_receiver_with_a_ready_pod_that_nobody_reaches_is_deaf() -> None:
    check = checks(receiver(), SOURCE)["webhooks"]
    assert check.status is CheckStatus.FAILED
    assert check.items == (
        "EventSource github in argocd: service door in argocd answers GET / with status 503",
    )


def test_a_receiver_that_may_not_be_asked_is_not_said_to_listen() -> None:
    cluster = receiver()
    cluster.fail_next("probe", FORBIDDEN)
    check = checks(cluster, SOURCE)["webhooks"]
    assert check.status is CheckStatus.SKIPPED
    assert check.message.startswith("0 of 1 receivers listen, the others could not be asked")
