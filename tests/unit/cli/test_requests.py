"""What a run asks of the API server: which, and how many, whatever a cluster has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from cto.objects import Manifest
from fakes.cluster import FakeCluster
from fakes.components import config_map
from fakes.desk import Desk, lease, node
from fakes.world import crd

# Kinds of which a cluster has thousands, with what each of them weighs.
HEAVY = {"Pod", "Secret", "ConfigMap", "Event", "ReplicaSet"}
# What nobody needs to know of where nothing will be changed.
OF_CHANGES = {"StorageClass", "Pod", "ResourceQuota", "LimitRange", "ValidatingAdmissionPolicy"}
HOOK = """
supplied_secrets:
  - {name: web-keys, keys: {"*_API_KEY": "providers.*"}}
"""


def others() -> Iterator[Manifest]:
    """Yield what crowds a cluster, of each kind more than there are of ours."""
    for number in range(30):
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{number}"}}
        yield node(f"crowd-{number}")
        yield lease(f"crowd-{number}")
        yield crd(f"thing{number}s.g{number}.example.com", f"Thing{number}")
        yield config_map(f"c-{number}", f"team-{number}")
        for kind in ("Secret", "Pod"):
            metadata = {"name": f"x-{number}", "namespace": f"team-{number}"}
            yield {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": {}}


def crowd(desk: Desk) -> None:
    for manifest in others():
        desk.cluster.add(manifest)


def asked(desk: Desk, *command: str) -> Counter[tuple[str, str, str]]:
    """Return what a command asks for: how often, which verb, kind and namespace."""
    desk.cluster.calls.clear()
    result = desk.cto(*command)
    assert result.exit_code == 0, result.output
    return Counter(call[:3] for call in desk.cluster.calls)


def whole(calls: Counter[tuple[str, str, str]]) -> dict[tuple[str, str], int]:
    """Return the lists of whole clusters among them.

    But for the one that ends at the first node that is real: whether a cluster is simulated.
    """
    calls = calls - Counter([("scan_metadata", "Node", "")])
    found = ((verb, kind, n) for (verb, kind, place), n in calls.items() if not place)
    return {(verb, kind): n for verb, kind, n in found if verb.startswith(("list", "scan"))}


COMMANDS = [("install",), ("plan", "install"), ("status",), ("plan", "uninstall")]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_others_have_on_a_cluster_adds_no_request(desk: Desk, command: tuple[str]) -> None:
    for _ in range(2):
        # The second run still writes how long steps take that have nothing to do.
        desk.cto("install")
    alone = asked(desk, *command)
    crowd(desk)
    assert asked(desk, *command) == alone


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_whole_clusters_are_listed_once_and_heavy_kinds_never(
    desk: Desk, command: tuple[str]
) -> None:
    desk.cto("install")
    crowd(desk)
    lists = whole(asked(desk, *command))
    assert not {kind for _, kind in lists} & HEAVY
    assert lists == dict.fromkeys(lists, 1)
    # Of definitions the names and labels, without schemas.
    assert ("list", "CustomResourceDefinition") not in lists


@pytest.mark.parametrize("command", COMMANDS[:3], ids=" ".join)
def test_nodes_are_read_once_for_the_plan_their_room_and_their_health(
    desk: Desk, command: tuple[str]
) -> None:
    desk.cto("install")
    calls = asked(desk, *command)
    assert calls["scan", "Node", ""] == 1
    assert not calls["list", "Node", ""] + calls["list_metadata", "Node", ""]


def test_before_a_removal_only_the_names_of_nodes_are_read(desk: Desk) -> None:
    desk.cto("install")
    calls = asked(desk, "plan", "uninstall")
    assert calls["scan", "Node", ""] == calls["list", "Node", ""] == 0


@pytest.mark.parametrize("command", COMMANDS[:2], ids=" ".join)
def test_where_nothing_is_changed_nothing_is_asked_that_only_changes_need(
    desk: Desk, command: tuple[str]
) -> None:
    desk.cto("install")
    calls = asked(desk, *command)
    assert not {kind for _, kind, _ in calls} & OF_CHANGES
    desk.cluster.calls.clear()
    document = desk.document(*command)
    found = {item["name"]: item["status"] for item in document["data"]["preflight"]}
    skipped = {name for name, status in found.items() if status == "skipped"}
    assert skipped == {"storage", "policies", "pods", "architecture"}
    assert found["permissions"] == found["version"] == found["foreign"] == "passed"


def test_a_run_that_changes_something_asks_everything_before_its_first_write(desk: Desk) -> None:
    desk.cto("install")
    desk.component(_web(desk) + "volumes: true\n", {"values.yaml.j2": "replicas: 3\n"})
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    metadata = {"name": "fast", "annotations": default}
    api = "storage.k8s.io/v1"
    desk.cluster.add({"apiVersion": api, "kind": "StorageClass", "metadata": metadata})
    calls = _before_the_first_write(desk)
    kinds = {call[1] for call in calls}
    assert OF_CHANGES - {"LimitRange", "ResourceQuota"} <= kinds
    assert {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} <= kinds
    assert ("create", "Pod", "web") in {call[:3] for call in calls}
    nodes = [call for call in calls if call[1] == "Node" and call[0] in {"list", "scan"}]
    assert len(nodes) == 1


def _before_the_first_write(desk: Desk) -> list[tuple[str, str, str, str]]:
    """Install, and return what was asked until the lock was taken."""
    desk.cluster.calls.clear()
    document = desk.document("install")
    assert document["data"]["changes"] == ["release:web"]
    calls = desk.cluster.calls
    taken = next(n for n, call in enumerate(calls) if call[0] == "update" and call[1] == "Lease")
    return calls[:taken]


def _web(desk: Desk) -> str:
    return (desk.root / "bundle/components/web/component.yaml").read_text()


def test_what_is_compared_when_its_turn_comes_is_asked_for_though_nothing_changes(
    desk: Desk,
) -> None:
    """A secret of the user's may have another value now: nobody knows before it is looked at."""
    desk.component(_web(desk) + HOOK)
    desk.env["CTO_PROVIDERS__ANTHROPIC"] = "a-key"
    desk.cto("install")
    desk.cluster.denied.add(("patch", "secrets", "*"))
    desk.cluster.denied.add(("*", "*", "*"))
    document = desk.document("install", code=4)
    assert "patch secrets" in document["error"]["details"]


def test_what_is_refused_to_pods_that_are_not_made_is_in_nobodys_way(desk: Desk) -> None:
    """A policy that came after the installation, for one: a run that only looks may go on."""
    desk.cto("install")
    cluster: FakeCluster = desk.cluster
    hook = {"apiGroups": [""], "resources": ["pods"], "operations": ["CREATE"]}
    hooks = [{"name": "g.example.com", "failurePolicy": "Fail", "rules": [hook]}]
    api, kind = "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"
    cluster.add({"apiVersion": api, "kind": kind, "metadata": {"name": "g"}, "webhooks": hooks})
    assert desk.document("install")["data"]["changes"] == []
