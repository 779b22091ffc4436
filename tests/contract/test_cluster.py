"""What every Cluster does."""

from __future__ import annotations

import time
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, ref_of
from cto.ports import Cluster, WatchEvent, WatchType
from fakes.place import Place

SOON_S = 10.0


def config_map(place: Place, name: str) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", place.namespace, name)


def widget_crd(plural: str) -> Manifest:
    group = "contract.cto.dev"
    kind = plural.removesuffix("s").title()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def established(cluster: Cluster, crd: Manifest) -> None:
    end = time.monotonic() + SOON_S
    while time.monotonic() < end:
        live = cluster.get(ref_of(crd)) or {}
        conditions = live.get("status", {}).get("conditions") or ()
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return
        time.sleep(0.05)
    pytest.fail("the definition was not established")


def test_it_tells_version_and_identity(place: Place) -> None:
    assert place.cluster.server_version().startswith("v1.")
    namespace = place.cluster.get(ObjectRef("v1", "Namespace", "", "kube-system"))
    assert namespace
    assert place.cluster.uid() == namespace["metadata"]["uid"]


def test_it_offers_the_builtin_kinds(place: Place) -> None:
    kinds = {(kind.api_version, kind.kind): kind for kind in place.cluster.kinds()}
    deployment = kinds["apps/v1", "Deployment"]
    assert (deployment.plural, deployment.namespaced) == ("deployments", True)
    assert {"get", "list", "watch", "patch", "delete"} <= deployment.verbs
    assert not kinds["v1", "Namespace"].namespaced
    assert ("autoscaling/v1", "Scale") not in kinds


def test_what_is_not_there_is_none(place: Place) -> None:
    assert place.cluster.get(config_map(place, "nothing")) is None
    assert place.cluster.get(ObjectRef("nowhere/v1", "Nothing", place.namespace, "x")) is None


def test_the_namespace_of_a_cluster_scoped_kind_does_not_matter(place: Place) -> None:
    ref = ObjectRef("v1", "Namespace", "default", place.namespace)
    assert place.cluster.get(ref)


def test_apply_creates_then_changes_then_takes_back(place: Place) -> None:
    place.cluster.apply(place.config_map("a", {"x": "1", "y": "1"}))
    place.cluster.apply(place.config_map("a", {"x": "2"}))
    live = place.cluster.get(config_map(place, "a"))
    assert live
    assert live["data"] == {"x": "2"}
    assert (live["apiVersion"], live["kind"]) == ("v1", "ConfigMap")
    assert "managedFields" not in live["metadata"]


def test_applying_the_same_again_changes_nothing(place: Place) -> None:
    first = place.cluster.apply(place.config_map("a"))
    second = place.cluster.apply(place.config_map("a"))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    assert first["metadata"]["uid"] == second["metadata"]["uid"]


def test_a_dry_run_answers_and_writes_nothing(place: Place) -> None:
    answer = place.cluster.apply(place.config_map("a"), dry_run=True)
    assert answer["data"] == {"k": "v"}
    assert place.cluster.create(place.config_map("b"), dry_run=True)["data"] == {"k": "v"}
    assert place.names(place.cluster.list("v1", "ConfigMap", namespace=place.namespace)) == []


def test_the_generation_counts_changes_of_the_spec(place: Place) -> None:
    def deployment(replicas: int, note: str) -> Manifest:
        labels = {"app": "a"}
        containers = [{"name": "a", "image": "a"}]
        pod = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "a",
                "namespace": place.namespace,
                "labels": {"note": note},
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": pod,
            },
        }

    answers = [
        place.cluster.apply(deployment(0, "a")),
        place.cluster.apply(deployment(0, "b")),
        place.cluster.apply(deployment(1, "b")),
    ]
    assert [answer["metadata"]["generation"] for answer in answers] == [1, 1, 2]


def test_unknown_kinds_cannot_be_written(place: Place) -> None:
    with pytest.raises(ApiError) as caught:
        place.cluster.apply({"apiVersion": "no/v1", "kind": "No", "metadata": {"name": "a"}})
    assert (caught.value.code, caught.value.status) == ("CTO-1603", 404)


def test_nothing_is_written_to_a_namespace_that_is_not_there(place: Place) -> None:
    lost = place.config_map("a")
    lost["metadata"]["namespace"] = "not-there"
    for write in (place.cluster.apply, place.cluster.create):
        with pytest.raises(ApiError) as caught:
            write(lost)
        assert (caught.value.code, caught.value.reason) == ("CTO-1603", "NotFound")


def test_create_refuses_what_exists(place: Place) -> None:
    place.cluster.create(place.config_map("a"))
    with pytest.raises(ApiError) as caught:
        place.cluster.create(place.config_map("a"))
    assert (caught.value.code, caught.value.reason) == ("CTO-1604", "AlreadyExists")
    assert caught.value.status == 409


def test_update_replaces_only_what_nobody_changed(place: Place) -> None:
    first = place.cluster.create(place.config_map("a", {"x": "1", "y": "1"}))
    second = place.cluster.update({**first, "data": {"x": "2"}})
    assert second["data"] == {"x": "2"}
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError) as caught:
        place.cluster.update({**first, "data": {"x": "3"}})
    assert (caught.value.code, caught.value.reason) == ("CTO-1604", "Conflict")


def test_what_is_gone_cannot_be_updated(place: Place) -> None:
    first = place.cluster.create(place.config_map("a"))
    place.cluster.delete(config_map(place, "a"))
    with pytest.raises(ApiError) as caught:
        place.cluster.update(first)
    assert caught.value.status in {404, 409}


def test_lists_are_of_one_namespace_or_of_all(place: Place) -> None:
    place.cluster.apply(place.config_map("a"))
    place.cluster.apply({**place.config_map("b"), "immutable": False})
    found = place.cluster.list("v1", "ConfigMap", namespace=place.namespace)
    assert place.names(found) == ["a", "b"]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("v1", "ConfigMap")}
    everywhere = place.cluster.list("v1", "ConfigMap")
    assert {"a", "b"} <= set(place.names(everywhere))
    assert place.cluster.list("nowhere/v1", "Nothing") == ()


@pytest.mark.parametrize(
    ("labels", "fields", "names"),
    [
        ("", "metadata.name=a", ["a"]),
        ("", "metadata.name!=a,metadata.name!=kube-root-ca.crt", ["b", "c"]),
        ("app=one", "", ["a", "b"]),
        ("app==one,tier!=web", "", ["b"]),
        ("tier", "", ["a"]),
        ("app,!tier", "", ["b", "c"]),
        ("app in (two, three)", "", ["c"]),
        ("app notin (one),app", "", ["c"]),
    ],
)
def test_lists_take_selectors(place: Place, labels: str, fields: str, names: list[str]) -> None:
    wanted = {"a": {"app": "one", "tier": "web"}, "b": {"app": "one"}, "c": {"app": "two"}}
    for name, own in wanted.items():
        manifest = place.config_map(name)
        manifest["metadata"]["labels"] = own
        place.cluster.apply(manifest)
    where = {"namespace": place.namespace, "labels": labels, "fields": fields}
    assert place.names(place.cluster.list("v1", "ConfigMap", **where)) == names
    assert place.names(place.cluster.list_metadata("v1", "ConfigMap", **where)) == names


def test_metadata_lists_hold_nothing_else(place: Place) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a", "namespace": place.namespace, "labels": {"x": "y"}},
        "data": {"password": "aHVudGVyMg=="},
    }
    place.cluster.apply(secret)
    (found,) = place.cluster.list_metadata("v1", "Secret", namespace=place.namespace)
    assert set(found) == {"apiVersion", "kind", "metadata"}
    assert (found["apiVersion"], found["kind"]) == ("v1", "Secret")
    assert found["metadata"]["labels"] == {"x": "y"}
    assert "aHVudGVyMg" not in str(found)


def test_delete_tells_whether_there_was_something(place: Place) -> None:
    place.cluster.apply(place.config_map("a"))
    assert place.cluster.delete(config_map(place, "a"))
    assert not place.cluster.delete(config_map(place, "a"))
    assert not place.cluster.delete(ObjectRef("nowhere/v1", "Nothing", "", "a"))


def test_delete_can_be_meant_for_one_uid(place: Place) -> None:
    uid = place.cluster.apply(place.config_map("a"))["metadata"]["uid"]
    other = "6a8ed1c4-0000-4000-8000-000000000000"
    assert not place.cluster.delete(config_map(place, "a"), uid=other)
    assert place.cluster.get(config_map(place, "a"))
    assert place.cluster.delete(config_map(place, "a"), uid=uid)


def test_a_finalizer_holds_what_was_deleted(place: Place) -> None:
    held = place.config_map("a")
    held["metadata"]["finalizers"] = ["contract.cto.dev/hold"]
    place.cluster.apply(held)
    assert place.cluster.delete(config_map(place, "a"))
    live = place.cluster.get(config_map(place, "a"))
    assert live
    assert live["metadata"]["deletionTimestamp"]
    live["metadata"]["finalizers"] = []
    place.cluster.update(live)
    assert place.cluster.get(config_map(place, "a")) is None


def test_a_namespace_takes_its_objects_with_it(place: Place) -> None:
    place.cluster.apply(place.config_map("a"))
    ref = ObjectRef("v1", "Namespace", "", place.namespace)
    assert place.cluster.delete(ref)
    end = time.monotonic() + SOON_S * 3
    while place.cluster.get(ref) and time.monotonic() < end:
        time.sleep(0.1)
    assert place.cluster.get(ref) is None
    assert place.cluster.get(config_map(place, "a")) is None


def test_a_namespace_that_ends_takes_nothing_new(place: Place) -> None:
    held = place.config_map("held")
    held["metadata"]["finalizers"] = ["contract.cto.dev/hold"]
    held = place.cluster.apply(held)
    place.cluster.delete(ObjectRef("v1", "Namespace", "", place.namespace))
    with pytest.raises(ApiError) as caught:
        place.cluster.apply(place.config_map("late"))
    assert (caught.value.code, caught.value.reason) == ("CTO-1605", "NamespaceTerminating")
    live = place.cluster.get(config_map(place, "held")) or held
    live["metadata"]["finalizers"] = []
    place.cluster.update(live)


def test_access_reviews_are_answered(place: Place) -> None:
    asked = {"verb": "create", "resource": "pods", "namespace": place.namespace}
    review: dict[str, Any] = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": asked},
    }
    assert place.cluster.create(review)["status"]["allowed"] is True


def test_a_definition_brings_its_kind_and_takes_it_away(place: Place) -> None:
    crd = widget_crd("gadgets")
    widget: Manifest = {
        "apiVersion": "contract.cto.dev/v1",
        "kind": "Gadget",
        "metadata": {"name": "a", "namespace": place.namespace},
        "spec": {"size": 1},
    }
    assert place.cluster.list("contract.cto.dev/v1", "Gadget") == ()
    place.cluster.apply(crd)
    established(place.cluster, crd)
    assert place.cluster.apply(widget)["spec"] == {"size": 1}
    found = place.cluster.list("contract.cto.dev/v1", "Gadget", namespace=place.namespace)
    assert place.names(found) == ["a"]
    assert "Gadget" in {kind.kind for kind in place.cluster.kinds(fresh=True)}
    assert place.cluster.delete(ref_of(crd))
    end = time.monotonic() + SOON_S * 2
    while place.cluster.get(ref_of(crd)) and time.monotonic() < end:
        time.sleep(0.1)
    assert place.cluster.get(ref_of(widget)) is None
    assert place.cluster.list("contract.cto.dev/v1", "Gadget") == ()


def test_a_log_that_is_not_there_is_empty(place: Place) -> None:
    assert place.cluster.logs(place.namespace, "nothing", "main", previous=True) == ""


def test_a_service_that_is_not_there_answers_404_and_one_without_pods_503(place: Place) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a", "namespace": place.namespace},
        "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]},
    }
    assert place.cluster.probe(place.namespace, "a", 80, "/healthz", "http") == 404
    place.cluster.apply(service)
    end = time.monotonic() + SOON_S
    # 404 until its controller has made the endpoints.
    while place.cluster.probe(place.namespace, "a", 80, "/", "http") == 404:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert place.cluster.probe(place.namespace, "a", "80", "/", "http") == 503
    status, _ = place.cluster.post(place.namespace, "a", 80, "/", headers={}, body=b"{}")
    assert status == 503


class Watching:
    """Collects what a watch yields, in a thread of its own."""

    def __init__(self, place: Place, api_version: str, kind: str) -> None:
        self.stop = Flag()
        self.events: list[WatchEvent] = []
        watch = place.cluster.watch(api_version, kind, namespace=place.namespace, stop=self.stop)
        self._place = place
        self._thread = Thread(target=self.events.extend, args=(watch,), daemon=True)
        self._thread.start()

    def wait(self, count: int) -> list[tuple[WatchType, list[str]]]:
        """Return the first events: the type, and the names of the objects."""
        end = time.monotonic() + SOON_S
        while len(self.seen()) < count and time.monotonic() < end:
            time.sleep(0.02)
        return self.seen()

    def seen(self) -> list[tuple[WatchType, list[str]]]:
        told = [(event.type, self._place.names(event.items)) for event in self.events]
        return [item for item in told if item[0] is WatchType.SYNC or item[1]]

    def end(self) -> float:
        """Stop; return how long the watch took to end."""
        self.stop.set()
        start = time.monotonic()
        self._thread.join(SOON_S)
        assert not self._thread.is_alive()
        return time.monotonic() - start


def test_a_watch_tells_what_there_is_then_what_changes(place: Place) -> None:
    place.cluster.apply(place.config_map("a"))
    watching = Watching(place, "v1", "ConfigMap")
    assert watching.wait(1) == [(WatchType.SYNC, ["a"])]
    place.cluster.apply(place.config_map("b"))
    watching.wait(2)
    place.cluster.apply(place.config_map("b", {"k": "w"}))
    watching.wait(3)
    place.cluster.delete(config_map(place, "a"))
    assert watching.wait(4) == [
        (WatchType.SYNC, ["a"]),
        (WatchType.ADDED, ["b"]),
        (WatchType.MODIFIED, ["b"]),
        (WatchType.DELETED, ["a"]),
    ]
    changed = [event for event in watching.events if event.type is WatchType.MODIFIED]
    assert changed[-1].items[0]["data"] == {"k": "w"}
    assert watching.end() < 1.5


def test_a_watch_sees_nothing_of_other_namespaces(place: Place) -> None:
    watching = Watching(place, "v1", "ConfigMap")
    watching.wait(1)
    elsewhere = place.config_map(place.namespace)
    elsewhere["metadata"]["namespace"] = "default"
    place.cluster.apply(elsewhere)
    place.cluster.apply(place.config_map("here"))
    assert watching.wait(2) == [(WatchType.SYNC, []), (WatchType.ADDED, ["here"])]
    watching.end()


def test_a_watch_waits_for_its_kind(place: Place) -> None:
    crd = widget_crd("doodads")
    watching = Watching(place, "contract.cto.dev/v1", "Doodad")
    assert watching.wait(1) == [(WatchType.SYNC, [])]
    place.cluster.apply(crd)
    established(place.cluster, crd)
    place.cluster.apply(
        {
            "apiVersion": "contract.cto.dev/v1",
            "kind": "Doodad",
            "metadata": {"name": "a", "namespace": place.namespace},
        }
    )
    end = time.monotonic() + SOON_S
    while not any("a" in names for _, names in watching.seen()) and time.monotonic() < end:
        time.sleep(0.05)
    assert any("a" in names for _, names in watching.seen())
    watching.end()
    place.cluster.delete(ref_of(crd))
