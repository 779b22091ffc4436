"""Pull secrets in a cluster: written once, changed with the password, and taken away."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cto.engine import pullsecrets
from cto.events import Phase
from cto.objects import Manifest, ObjectRef
from cto.plan.changes import Action
from cto.plan.steps import RemovePullSecret, SupplyPullSecret
from fakes.cluster import FakeCluster

SECRET = ObjectRef("v1", "Secret", "web", "puller")
ACCOUNT = ObjectRef("v1", "ServiceAccount", "web", "default")
COMMON: dict[str, Any] = {
    "id": "x",
    "phase": Phase.CORE,
    "title": "Do it",
    "action": Action.CREATE,
    "namespace": "web",
    "name": "puller",
}
SUPPLY = SupplyPullSecret(**COMMON, host="r.example.com:5000", username="me", secret_path="x")
REMOVE = RemovePullSecret(**COMMON)


@pytest.fixture
def cluster() -> FakeCluster:
    made = FakeCluster()
    made.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})
    return made


def account(*names: str) -> Manifest:
    metadata = {"name": "default", "namespace": "web"}
    secrets = [{"name": name} for name in names]
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "imagePullSecrets": secrets,
    }


def names(cluster: FakeCluster) -> list[str]:
    found = cluster.peek(ACCOUNT) or {}
    return [item["name"] for item in found.get("imagePullSecrets") or ()]


def test_it_is_what_docker_login_would_write(cluster: FakeCluster) -> None:
    assert pullsecrets.supply(cluster, SUPPLY, "pä:ss") == ""
    found = cluster.peek(SECRET) or {}
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    (key,) = found["data"]
    assert key == ".dockerconfigjson"
    (entry,) = json.loads(base64.b64decode(found["data"][key]))["auths"].items()
    auth = base64.b64encode("me:pä:ss".encode()).decode()
    assert entry == (
        "r.example.com:5000",
        {"username": "me", "password": "pä:ss", "auth": auth},
    )


def test_dockers_own_registry_has_another_name_there() -> None:
    text = pullsecrets.docker_config("docker.io", "me", "x")
    assert [*json.loads(text)["auths"]] == ["https://index.docker.io/v1/"]


def test_a_second_time_nothing_is_written(cluster: FakeCluster) -> None:
    pullsecrets.supply(cluster, SUPPLY, "one")
    before = (cluster.peek(SECRET), cluster.peek(ACCOUNT))
    assert pullsecrets.supply(cluster, SUPPLY, "one") == "unchanged"
    assert (cluster.peek(SECRET), cluster.peek(ACCOUNT)) == before


def test_another_password_is_written(cluster: FakeCluster) -> None:
    pullsecrets.supply(cluster, SUPPLY, "one")
    assert pullsecrets.supply(cluster, SUPPLY, "two") == ""
    assert (
        "two"
        in base64.b64decode((cluster.peek(SECRET) or {})["data"][".dockerconfigjson"]).decode()
    )


def test_killed_between_both_the_same_step_finishes(cluster: FakeCluster) -> None:
    pullsecrets.supply(cluster, SUPPLY, "one")
    cluster.add(account())
    assert pullsecrets.supply(cluster, SUPPLY, "one") == "unchanged"
    assert names(cluster) == ["puller"]


def test_what_others_gave_the_account_stays(cluster: FakeCluster) -> None:
    cluster.add(account("theirs"))
    pullsecrets.supply(cluster, SUPPLY, "one")
    assert names(cluster) == ["theirs", "puller"]
    pullsecrets.remove(cluster, REMOVE)
    assert names(cluster) == ["theirs"]
    assert cluster.peek(SECRET) is None


def test_what_is_gone_may_be_removed_again(cluster: FakeCluster) -> None:
    assert pullsecrets.remove(cluster, REMOVE) == ""
    assert cluster.peek(ACCOUNT) is None
