"""Provider existing: what of a kubeconfig cannot work from where we are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cto.adapters.existing import Existing
from cto.errors import ApiError
from cto.objects import Manifest
from cto.ports import Access, NodeOptions, ProviderState
from cto.result import CheckStatus
from fakes.cluster import FakeCluster
from fakes.machine import FakeMachine


def node(name: str, **metadata: Any) -> Manifest:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, **metadata}}


class Place:
    def __init__(self, tmp: Path) -> None:
        self.file = tmp / "config"
        self.root = tmp / "root"
        self.machine = FakeMachine(self.root)
        self.cluster = FakeCluster()
        self.entry: dict[str, Any] = {"server": "https://10.0.0.1:6443"}
        self.user: dict[str, Any] = {"token": "t"}

    def provider(self) -> Existing:
        data = {
            "clusters": [{"name": "a b", "cluster": self.entry}],
            "users": [{"name": "u", "user": self.user}],
            "contexts": [{"name": "ctx", "context": {"cluster": "a b", "user": "u"}}],
        }
        self.file.write_text(yaml.safe_dump(data))
        return Existing(
            Access(self.file, "ctx"),
            connect=lambda _: self.cluster,
            host=self.machine.host,
            search_path=str(self.root / "bin"),
        )

    def problems(self) -> list[tuple[str, str]]:
        checks = self.provider().validate()
        assert all(check.code == "CTO-1403" for check in checks if check.fix)
        return [(c.message, c.fix) for c in checks if c.status is CheckStatus.FAILED]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize(
    ("server", "user", "warned"),
    [
        ("http://10.0.0.1:8080", {"token": "t"}, True),
        ("10.0.0.1:8080", {"client-certificate-data": "eA=="}, True),
        ("http://10.0.0.1:8080", {}, False),
        ("https://10.0.0.1:6443", {"token": "t"}, False),
    ],
)
def test_a_log_in_that_nobody_is_told_without_tls_is_warned_of(
    place: Place, server: str, user: dict[str, Any], *, warned: bool
) -> None:
    place.entry, place.user = {"server": server}, user
    (check,) = place.provider().validate()
    assert check.status is (CheckStatus.WARNING if warned else CheckStatus.PASSED)
    assert ("speaks without TLS" in check.message) == warned
    assert ("https://" in check.fix) == warned


FORBIDDEN = (
    'ask for the version: users "root" is forbidden: User "weak" cannot impersonate resource '
    '"users" in API group "" at the cluster scope'
)


@pytest.mark.parametrize(
    ("user", "rules"),
    [
        ({"as": "root"}, [("", "users", ["root"])]),
        (
            {"as": "system:serviceaccount:ns:robot", "as-uid": 42, "as-groups": ["g", "h"]},
            [
                ("", "serviceaccounts", ["robot"]),
                ("authentication.k8s.io", "uids", ["42"]),
                ("", "groups", ["g", "h"]),
            ],
        ),
        (
            {"as": "root", "as-user-extra": {"Example.com/A": ["x"], "scopes": []}},
            [
                ("", "users", ["root"]),
                ("authentication.k8s.io", "userextras/example.com/a", ["x"]),
            ],
        ),
    ],
)
def test_who_may_not_act_as_another_is_named_with_the_role_that_would_do(
    place: Place, user: dict[str, Any], rules: list[tuple[str, str, list[str]]]
) -> None:
    place.user = {"token": "t", **user}
    error = ApiError("CTO-1602", FORBIDDEN, status=403, reason="Forbidden")
    place.cluster.fail_next("server_version", error)
    (check,) = place.provider().validate()
    assert (check.name, check.status, check.code) == ("identity", CheckStatus.FAILED, "CTO-1602")
    assert check.message.startswith(f"weak may not act as {user['as']}, as the kubeconfig says: ")
    role, binding = check.manifests
    assert [(*r["apiGroups"], *r["resources"], r["resourceNames"]) for r in role["rules"]] == rules
    assert all(rule["verbs"] == ["impersonate"] for rule in role["rules"])
    assert binding["subjects"][0]["name"] == "weak"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_any_other_refusal_is_for_the_checks_that_come_later(place: Place) -> None:
    place.user = {"token": "t", "as": "root"}
    error = ApiError("CTO-1602", 'User "root" cannot get path "/version"', status=403)
    place.cluster.fail_next("server_version", error)
    assert [check.status for check in place.provider().validate()] == [CheckStatus.PASSED]


@pytest.fixture
def container(place: Place) -> Place:
    (place.root / ".dockerenv").touch()
    return place


def test_a_kubeconfig_that_works_is_named(place: Place) -> None:
    (check,) = place.provider().validate()

    assert check.status is CheckStatus.PASSED
    assert check.message == f"context ctx of {place.file}"


@pytest.mark.parametrize(
    "server", ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"]
)
def test_a_loopback_address_in_a_container_gets_the_lines_that_help(
    container: Place, server: str
) -> None:
    container.entry["server"] = server
    container.cluster.fail_next("server_version", ApiError("CTO-1601", "no answer"))

    ((message, fix),) = container.problems()

    assert server in message
    assert "--network host" in fix
    assert "--network kind" in fix
    assert "set-cluster 'a b' --server=https://host.docker.internal:6443" in fix
    assert "--tls-server-name=" in fix


def test_a_cluster_inside_the_same_container_is_fine(container: Place) -> None:
    container.entry["server"] = "https://127.0.0.1:6443"

    assert container.problems() == []


def test_who_refuses_a_log_in_answers(container: Place) -> None:
    container.entry["server"] = "https://127.0.0.1:6443"
    container.cluster.fail_next("server_version", ApiError("CTO-1602", "401", status=401))

    assert container.problems() == []


def test_a_loopback_address_outside_a_container_is_fine(place: Place) -> None:
    place.entry["server"] = "https://127.0.0.1:6443"

    assert place.problems() == []


def test_a_server_that_does_not_answer_is_told_with_the_cause_and_asked_once(place: Place) -> None:
    silent = ApiError("CTO-1601", "no answer from x", details="refused", hint="Start it.")
    place.cluster.fail_next("server_version", silent, times=2)
    provider = place.provider()

    for _ in range(2):
        usable, api = provider.validate()
        assert usable.status is CheckStatus.PASSED
        assert (api.name, api.status, api.code) == ("api", CheckStatus.FAILED, "CTO-1601")
        assert (api.message, api.items, api.fix) == ("no answer from x", ("refused",), "Start it.")
    assert place.cluster.count("server_version") == 1


def test_where_something_else_is_wrong_nobody_waits_for_an_answer(place: Place) -> None:
    place.user = {"tokenFile": "token"}

    assert len(place.problems()) == 1
    assert place.cluster.calls == []


def test_an_exec_plugin_that_is_not_there_is_named(container: Place) -> None:
    container.user = {"exec": {"command": "aws", "installHint": "Install the AWS CLI"}}

    ((message, fix),) = container.problems()

    assert "'aws', which is not in this container" in message
    assert "kubectl create token" in fix


def test_outside_a_container_the_plugin_s_own_hint_is_shown(place: Place) -> None:
    place.user = {"exec": {"command": "aws", "installHint": " Install the AWS CLI\n"}}

    assert place.problems()[0][1] == "Install the AWS CLI"


@pytest.mark.parametrize("command", ["aws", "root/bin/aws"])
def test_an_exec_plugin_is_looked_for_on_the_path_or_beside_the_kubeconfig(
    place: Place, command: str
) -> None:
    (place.root / "bin").mkdir()
    (place.root / "bin" / "aws").touch(mode=0o755)
    place.user = {"exec": {"command": command}}

    assert place.problems() == []


def test_certificate_files_outside_the_mount_get_the_flatten_line(container: Place) -> None:
    container.entry["certificate-authority"] = "/home/me/.minikube/ca.crt"
    container.user = {"client-certificate": "c.crt", "client-key": "c.key"}

    problems = container.problems()

    assert [message.partition(":")[0] for message, _ in problems] == [
        "certificate-authority",
        "client-certificate",
        "client-key",
    ]
    assert "kubectl config view --flatten --minify --raw --context ctx" in problems[0][1]
    assert f":{container.file}" in problems[0][1]


def test_certificate_files_that_are_missing_outside_a_container_get_the_plain_line(
    place: Place,
) -> None:
    place.user = {"tokenFile": "token"}

    assert "docker" not in place.problems()[0][1]


def test_files_that_can_be_read_and_data_instead_of_files_are_fine(place: Place) -> None:
    (place.file.parent / "ca.crt").touch()
    place.entry["certificate-authority"] = "ca.crt"
    place.user = {"client-key": "/nowhere", "client-key-data": "x"}

    assert place.problems() == []


@pytest.mark.parametrize(
    ("nodes", "simulated"),
    [
        ([], False),
        ([node("a", annotations={"kwok.x-k8s.io/node": "fake"})], True),
        ([node("a", labels={"type": "kwok"})], True),
        ([node("a", labels={"type": "kwok"}), node("b")], False),
    ],
)
def test_a_cluster_is_simulated_if_all_its_nodes_are(
    place: Place, nodes: list[Manifest], *, simulated: bool
) -> None:
    for item in nodes:
        place.cluster.add(item)

    assert place.provider().simulated is simulated


def test_a_cluster_that_does_not_answer_is_not_called_simulated(place: Place) -> None:
    error = ApiError("CTO-1601", "no answer")
    place.cluster.fail_next("list_metadata", error)

    assert place.provider().simulated is False


def test_it_is_never_made_nor_removed(place: Place) -> None:
    provider = place.provider()
    said: list[str] = []
    options = NodeOptions(nodes=1, profile="minimal", cpu=1, memory_gib=1)

    assert provider.state() is ProviderState.READY
    assert provider.provision(options, said.append) == provider.access()
    assert said == [f"Using context ctx of {place.file}"]
    assert provider.kube_version() == "v1.34.4"
    assert not provider.creates
    assert not provider.destroy()
    assert provider.leftovers() == ()
