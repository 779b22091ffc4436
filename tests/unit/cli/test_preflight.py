"""What the preflight finds, as people and programs are told by `plan` and `install`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cto.cli.options import PREFLIGHT
from cto.config.sections import PreflightCheck
from cto.engine.preflight import Needs, VersionRange, cluster_checks
from cto.errors import ApiError
from cto.objects import Manifest, load_yaml
from cto.ports import ReleaseSpec
from fakes.cluster import FakeCluster
from fakes.components import definition
from fakes.desk import Desk
from fakes.releases import plain_chart

ROLE: Manifest = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "web-reader"},
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
}


@pytest.fixture(autouse=True)
def chart(desk: Desk) -> None:
    """Let the component's chart have a ClusterRole."""

    def render(spec: ReleaseSpec) -> Sequence[Manifest]:
        return (*plain_chart(spec), ROLE)

    desk.releases.render["web"] = render


@pytest.fixture
def leftover(desk: Desk) -> None:
    """What another installation of the same chart left."""
    marks = {
        "meta.helm.sh/release-name": "web",
        "meta.helm.sh/release-namespace": "elsewhere",
    }
    desk.cluster.add({**ROLE, "metadata": {"name": "web-reader", "annotations": marks}})


COMMANDS = [("install",), ("plan", "install")]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("leftover")
def test_a_leftover_is_found_before_anything_is_changed(
    desk: Desk, command: tuple[str, ...]
) -> None:
    before = desk.cluster.everything()

    document = desk.document(*command, code=4)

    assert document["error"]["code"] == "CTO-1401"
    text = "ClusterRole web-reader, left by Helm release web in elsewhere, which is gone"
    assert text in document["error"]["details"]
    (check,) = [item for item in document["data"]["preflight"] if item["name"] == "foreign"]
    assert check["items"] == [text]
    assert desk.cluster.everything() == before


@pytest.mark.usefixtures("leftover")
def test_a_plan_is_shown_though_it_cannot_be_carried_out(desk: Desk) -> None:
    result = desk.cto("plan", "install")

    assert result.exit_code == 4
    assert "+ Install Web 1.0.0 (not installed)" in result.stdout
    assert "ClusterRole web-reader" in result.stderr


@pytest.mark.usefixtures("leftover")
def test_nobody_is_asked_whether_to_do_what_cannot_be_done(desk: Desk) -> None:
    desk.attended = True

    result = desk.cto("install", answer="y\n")

    assert result.exit_code == 4
    assert "Carry this out" not in result.output


def test_what_was_installed_is_no_obstacle_to_itself(desk: Desk) -> None:
    desk.cto("install")

    assert desk.document("install")["data"]["changes"] == []
    assert desk.document("plan", "install")["data"]["changes"] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_who_may_do_nothing_gets_a_role_that_would_do(desk: Desk, command: tuple[str, ...]) -> None:
    desk.cluster.denied = {("*", "*", "*")}

    document = desk.document(*command, code=4)

    (check,) = [item for item in document["data"]["preflight"] if item["name"] == "permissions"]
    assert check["code"] == "CTO-1602"
    assert "escalate clusterroles.rbac.authorization.k8s.io" in "\n".join(check["items"])
    places = [item["metadata"].get("namespace") for item in check["manifests"]]
    assert places == [None, None, None, "cto-system", "web"]
    kinds = [(item["kind"], item["metadata"]["name"]) for item in check["manifests"][:3]]
    # A Role needs its namespace, which the installer takes for its own by its label.
    assert kinds == [
        ("Namespace", "cto-system"),
        ("Namespace", "web"),
        ("ClusterRole", check["manifests"][2]["metadata"]["name"]),
    ]
    assert kinds[2][1].startswith("cto-installer-")
    # People paste the same.
    _, _, text = document["error"]["details"].partition("    apiVersion: v1\n")
    pasted = load_yaml("apiVersion: v1\n" + "\n".join(line[4:] for line in text.splitlines()))
    assert pasted == {"apiVersion": "v1", "kind": "List", "items": check["manifests"]}


@pytest.mark.parametrize("command", COMMANDS)
def test_who_may_not_even_look_is_told_of_permissions_and_nothing_else(
    desk: Desk, command: tuple[str, ...]
) -> None:
    desk.cluster.denied = {("*", "*", "*")}
    refused = ApiError("CTO-1602", "forbidden", status=403)
    for kind in ("Node", "Namespace", "Secret", "StorageClass", "ClusterRole", "Lease"):
        for verb in ("list", "list_metadata", "get"):
            desk.cluster.fail_next(verb, refused, kind=kind, times=9)

    document = desk.document(*command, code=4)

    assert document["error"]["code"] == "CTO-1400"
    assert [item["name"] for item in document["data"]["preflight"]] == ["permissions"]
    assert "get, list, create, patch namespaces" in document["error"]["details"]


def test_warnings_are_told_before_something_is_changed_and_not_again(desk: Desk) -> None:
    hook = {"apiGroups": [""], "resources": ["pods"], "operations": ["CREATE"]}
    desk.cluster.add(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "guard"},
            "webhooks": [{"name": "g.example.com", "failurePolicy": "Ignore", "rules": [hook]}],
        }
    )

    assert "Admission policies: 1 may refuse or change pods" in desk.cto("install").stderr
    assert "Admission policies" not in desk.cto("install").stderr


def test_an_unchanged_platform_is_not_asked_for_room(desk: Desk) -> None:
    """On a cluster with thousands of pods that is megabytes, for nothing."""
    desk.cto("install")
    desk.cluster.calls.clear()

    document = desk.document("plan", "install")

    (room,) = [item for item in document["data"]["preflight"] if item["name"] == "room"]
    assert (room["status"], room["message"]) == ("passed", "no pod is added")
    assert ("list", "Pod", "", "") not in desk.cluster.calls


def no_room(desk: Desk) -> None:
    ready = {"type": "Ready", "status": "True"}
    small = {"allocatable": {"cpu": "1m", "memory": "1Mi"}, "conditions": [ready]}
    desk.component(BIG)
    desk.cluster.add(
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}, "status": small}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_check_that_is_left_out_is_written_down(desk: Desk, command: tuple[str, ...]) -> None:
    no_room(desk)
    assert desk.document(*command, code=4)["error"]["code"] == "CTO-1400"

    result = desk.cto(*command, "--skip-preflight", "room")
    document = desk.document(*command, "--skip-preflight", "room", "--skip-preflight", "pods")

    assert "Room: left out: --skip-preflight room" in result.stderr
    found: dict[str, Any] = {item["name"]: item for item in document["data"]["preflight"]}
    assert {name for name, item in found.items() if "left out" in item["message"]} == {
        "room",
        "pods",
    }
    assert found["room"]["status"] == "skipped"


@pytest.mark.parametrize("way", ["file", "variable"])
def test_the_configuration_can_leave_checks_out_and_a_flag_replaces_its_list(
    desk: Desk, tmp_path: Path, way: str
) -> None:
    no_room(desk)
    file = tmp_path / "cto.yaml"
    file.write_text("cluster: {skip_preflight: [room]}" if way == "file" else "{}")
    if way == "variable":
        desk.env["CTO_CLUSTER__SKIP_PREFLIGHT"] = "[room]"
    given = ("plan", "install", "--config", str(file))

    document = desk.document(*given)
    assert [c["name"] for c in document["data"]["preflight"] if "left out" in c["message"]] == [
        "room"
    ]
    error = desk.document(*given, "--skip-preflight", "pods", code=4)["error"]
    assert "Room: " in error["details"]


def test_a_check_that_there_is_not_is_refused_in_the_configuration_too(
    desk: Desk, tmp_path: Path
) -> None:
    file = tmp_path / "cto.yaml"
    file.write_text("cluster:\n  skip_preflight:\n    - foreign\n")
    error = desk.document("plan", "install", "--config", str(file), code=3)["error"]
    told = (
        "cluster.skip_preflight.0 'foreign' (DESK/cto.yaml:3): must be one of version, permissions"
    )
    assert told in error["details"]


def test_a_check_that_there_is_not_is_refused_with_the_names_that_there_are(desk: Desk) -> None:
    result = desk.cto("install", "--skip-preflight", "rooms")

    assert result.exit_code == 2
    for name in PREFLIGHT:
        assert name in result.output


def test_every_check_but_the_one_for_foreign_objects_can_be_left_out() -> None:
    needs = Needs(kubernetes=VersionRange((1, 31), (1, 36)))
    made = {check.name for check in cluster_checks(FakeCluster(), needs)}
    assert made - {"foreign"} | {"registry"} == set(PREFLIGHT)
    assert tuple(PreflightCheck) == PREFLIGHT


BIG = definition(
    "big",
    """
resources:
  minimal: {cpu: "2", memory: 1Gi}
""",
)
