"""Somebody else's API or webhook that is away is named, and never takes our work along."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cto.engine.gone import GoneWait
from cto.engine.hooks import TerminatingWatch
from cto.engine.listcache import ListCache
from cto.engine.namespaces import why_kept
from cto.engine.observe import Observer
from cto.engine.state import StateStore
from cto.engine.verdict import Verdict
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef
from cto.plan import labels
from cto.plan.observed import Observed
from fakes.cluster import FakeCluster
from fakes.components import component
from fakes.handclock import HandClock
from fakes.releases import FakeReleases
from fakes.workloads import NS, manifest
from fakes.world import crd

AWAY = ApiError("CTO-1600", "list widgets: conversion webhook failed", status=500)
WIDGETS = "widgets.example.com"
REF = ObjectRef("v1", "Namespace", "", NS)
DISCOVERY = {
    "type": "NamespaceDeletionDiscoveryFailure",
    "status": "True",
    "reason": "DiscoveryFailed",
    "message": "Discovery failed for some groups, 1 failing: stale GroupVersion discovery: m/v1",
}
CONTENT = {
    "type": "NamespaceDeletionContentFailure",
    "status": "True",
    "message": "Failed to delete all resource types, 1 remaining: conversion webhook failed",
}
REMAINING = {
    "type": "NamespaceContentRemaining",
    "status": "True",
    "message": "Some resources are remaining: pods. has 1 resource instances",
}


def api_service(name: str, status: str) -> Manifest:
    condition = {"type": "Available", "status": status, "message": "service/m in x is not present"}
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "status": {"conditions": [condition]},
    }


def definition(*versions: str, ours: bool = False) -> Manifest:
    made = crd(WIDGETS, "Widget")
    made["spec"]["versions"] = [{"name": name, "served": True} for name in versions]
    made["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
    made["metadata"]["labels"] = {labels.COMPONENT: "web"} if ours else {}
    return made


def widget(name: str = "one") -> Manifest:
    return manifest("Widget", name, api_version="example.com/v1")


# what is in a namespace


def test_a_kind_that_nobody_can_list_keeps_the_namespace_and_is_named() -> None:
    """There may be somebody's data in it."""
    cluster = FakeCluster([definition("v1")])
    cluster.unlisted["example.com/v1", "Widget"] = AWAY
    text = f"kept: {WIDGETS} cannot be listed (list widgets: conversion webhook failed)"
    assert why_kept(cluster, NS) == text


def test_one_version_that_can_be_listed_is_enough() -> None:
    """Objects in the stored version need no conversion."""
    cluster = FakeCluster([definition("v1", "v2")])
    cluster.unlisted["example.com/v1", "Widget"] = AWAY
    assert why_kept(cluster, NS) == ""
    cluster.add({**widget(), "apiVersion": "example.com/v2"})
    assert why_kept(cluster, NS) == f"kept: Widget one in {NS}"


def test_what_is_there_is_told_first() -> None:
    cluster = FakeCluster([definition("v1"), manifest("ConfigMap", "theirs")])
    cluster.unlisted["example.com/v1", "Widget"] = AWAY
    assert why_kept(cluster, NS).startswith(f"kept: ConfigMap theirs in {NS}, {WIDGETS} cannot")


@pytest.mark.parametrize("status", [0, 401])
def test_a_server_that_does_not_answer_is_no_reason_to_keep_anything(status: int) -> None:
    cluster = FakeCluster([definition("v1")])
    cluster.unlisted["example.com/v1", "Widget"] = ApiError("CTO-1601", "silent", status=status)
    with pytest.raises(ApiError, match="silent"):
        why_kept(cluster, NS)


@pytest.mark.parametrize(
    ("group", "kept"),
    [
        ("metrics.k8s.io/v1beta1", False),
        ("custom.metrics.k8s.io/v1beta2", False),
        ("projectcalico.org/v3", True),
    ],
)
def test_kinds_that_are_not_told_keep_a_namespace_if_they_may_hold_data(
    group: str, *, kept: bool
) -> None:
    cluster = FakeCluster()
    cluster.silent_groups[group] = "it does not answer"
    assert bool(why_kept(cluster, NS)) == kept


# our own definitions


def observe(cluster: FakeCluster) -> Observed:
    observer = Observer(
        cluster=cluster,
        view=ListCache(cluster),
        releases=FakeReleases(cluster),
        state=StateStore(cluster, "1.0.0").load(),
        components=(component("web"),),
        context="here",
    )
    return observer.observe(for_uninstall=True)


def test_objects_of_ours_that_nobody_can_list_are_not_taken_for_none() -> None:
    cluster = FakeCluster([definition("v1", ours=True), widget()])
    cluster.unlisted["example.com/v1", "Widget"] = AWAY
    found = observe(cluster)
    assert found.unlisted == {WIDGETS: AWAY.message}
    assert WIDGETS not in found.instances


def test_they_are_found_in_another_version() -> None:
    cluster = FakeCluster([definition("v1", "v2", ours=True), widget()])
    cluster.unlisted["example.com/v2", "Widget"] = AWAY
    found = observe(cluster)
    assert (len(found.instances[WIDGETS]), found.unlisted) == (1, {})


# waits


class Terminating:
    """A namespace that is being deleted, and those who wait for its end."""

    def __init__(self) -> None:
        held = manifest("ConfigMap", "held", metadata={"finalizers": ["example.com/f"]})
        self.cluster = FakeCluster([held])
        self.cluster.delete_quietly(REF)
        self.clock = HandClock()
        self.live = WatchCache(self.cluster, self.clock, pause_s=0.001)
        self.gone = GoneWait([REF], self.live, self.cluster, self.clock)
        self.watch = TerminatingWatch(REF, self.live, self.cluster, self.clock)

    def say(self, *conditions: Manifest) -> None:
        self.cluster.set_status(REF, {"phase": "Terminating", "conditions": list(conditions)})

    def after(self, seconds: int, wait: GoneWait | TerminatingWatch | None = None) -> Verdict:
        verdict = Verdict(done=False, message="no time passed")
        for _ in range(seconds * 2):
            self.clock.advance(0.5)
            verdict = (wait or self.gone).evaluate()
            while self.live._questions._pending:
                self.live.wait_change(self.live.generation, 0.01)
        return verdict


@pytest.fixture
def terminating() -> Iterator[Terminating]:
    made = Terminating()
    yield made
    made.live.close()


def test_the_service_without_which_a_namespace_stays_is_named_within_seconds(
    terminating: Terminating,
) -> None:
    terminating.cluster.add(api_service("v1beta1.metrics.k8s.io", "False"))
    terminating.cluster.add(api_service("v1.apps", "True"))
    terminating.say(REMAINING, DISCOVERY)
    verdict = terminating.after(5)
    away = "APIService v1beta1.metrics.k8s.io is not available: service/m in x is not present"
    assert away in verdict.message
    assert "v1.apps" not in verdict.message
    assert verdict.error is None


def converted(name: str, service: str) -> Manifest:
    made = crd(f"{name}.example.com", name.title())
    client = {"service": {"namespace": "theirs", "name": service}}
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"clientConfig": client}}
    return made


def answering(service: str) -> list[Manifest]:
    there = {"namespace": "theirs", "labels": {"kubernetes.io/service-name": service}}
    endpoints = {"endpoints": [{"conditions": {"ready": True}}]}
    slices = manifest("EndpointSlice", service, metadata=there, api_version="discovery.k8s.io/v1")
    return [manifest("Service", service, metadata={"namespace": "theirs"}), {**slices, **endpoints}]


def test_what_is_away_is_named_before_kubernetes_says_anything(terminating: Terminating) -> None:
    """It says so after half a minute where a conversion webhook is away."""
    terminating.cluster.add(api_service("v1beta1.metrics.k8s.io", "False"))
    for made in (converted("gadgets", "gone"), converted("widgets", "there"), *answering("there")):
        terminating.cluster.add(made)
    assert terminating.after(2).message == f"0 of 1 gone: Namespace {NS}"
    verdict = terminating.after(3)
    assert verdict.message == (
        "0 of 1 gone: APIService v1beta1.metrics.k8s.io is not available: service/m in x is not "
        "present; CustomResourceDefinition gadgets.example.com cannot be converted: its Service "
        f"gone in theirs is not there: Namespace {NS}"
    )
    assert terminating.after(60).error is None


def test_what_may_not_be_looked_at_is_left_out(terminating: Terminating) -> None:
    terminating.cluster.add(converted("gadgets", "gone"))
    forbidden = ApiError("CTO-1602", "forbidden", status=403)
    terminating.cluster.unlisted["apiregistration.k8s.io/v1", "APIService"] = forbidden
    assert "gadgets.example.com cannot be converted" in terminating.after(5).message


def test_nobody_is_blamed_where_kubernetes_knows_better(terminating: Terminating) -> None:
    terminating.cluster.add(converted("gadgets", "gone"))
    terminating.say(REMAINING)
    message = terminating.after(5).message
    assert "gadgets" not in message
    assert "Some resources are remaining" in message


def test_the_wait_ends_early_with_what_to_do(terminating: Terminating) -> None:
    """Two minutes of waiting would change nothing."""
    terminating.cluster.add(api_service("v1beta1.metrics.k8s.io", "False"))
    terminating.say(DISCOVERY)
    error = terminating.after(40).error
    assert error is not None
    assert error.code == "CTO-1780"
    assert f"Namespace {NS}: APIService v1beta1.metrics.k8s.io" in error.message
    assert "kubectl delete apiservice" in error.hint


def test_a_webhook_without_which_nothing_is_deleted_is_told(terminating: Terminating) -> None:
    terminating.say(REMAINING, CONTENT)
    assert "conversion webhook failed" in terminating.after(5).message
    error = terminating.after(40).error
    assert error is not None
    assert (error.code, "conversion webhook failed" in error.message) == ("CTO-1780", True)


def test_content_that_remains_for_a_moment_is_no_reason_to_end(terminating: Terminating) -> None:
    terminating.say(REMAINING)
    verdict = terminating.after(40)
    assert verdict.error is None
    assert "Some resources are remaining" in verdict.message


def test_who_waits_to_make_the_namespace_anew_is_told_the_same(terminating: Terminating) -> None:
    terminating.cluster.add(api_service("v1beta1.metrics.k8s.io", "False"))
    terminating.say(DISCOVERY)
    assert terminating.watch.evaluate().message == ""
    verdict = terminating.after(5, terminating.watch)
    assert verdict.message.startswith("the old one is being deleted")
    assert "APIService v1beta1.metrics.k8s.io" in verdict.message
    verdict = terminating.after(40, terminating.watch)
    assert (verdict.done, verdict.error is not None) == (False, True)


def test_a_namespace_that_is_gone_is_waited_for_by_nobody(terminating: Terminating) -> None:
    terminating.cluster.remove(ObjectRef("v1", "ConfigMap", NS, "held"))
    terminating.cluster.remove(REF)
    verdict = terminating.after(5, terminating.watch)
    assert (verdict.done, verdict.message, verdict.error) == (False, "", None)
