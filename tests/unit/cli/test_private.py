"""Installations whose images come from a registry of the user's own."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from cto.objects import Manifest, ObjectRef
from cto.ports import ReleaseSpec
from cto_airgap.oci import digest_of
from fakes import images
from fakes.components import definition
from fakes.desk import Desk
from fakes.registry import FakeRegistry, FakeWeb
from unit.bundle.parts import workload

HOST = "r.example.com"
IMAGES = """
images:
  - {ref: "quay.io/x/web:1", why: server}
  - {ref: "nats:2", why: bus, hides_in: configmap}
manifests: {before: [own.yaml.j2]}
"""
COMPONENT = definition("app")
OWN = """
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: app}
data: {bus: "nats:2", secret: "{{ pull_secret }}"}
"""
SECRET = ObjectRef("v1", "Secret", "app", "cto-registry")
ACCOUNT = ObjectRef("v1", "ServiceAccount", "app", "default")


def rendered(spec: ReleaseSpec) -> Sequence[Manifest]:
    hook = workload("Job", "quay.io/x/web:1")
    hook["metadata"] |= {"name": "hook", "annotations": {"helm.sh/hook": "pre-install"}}
    deployment = workload("Deployment", "quay.io/x/web:1")
    deployment["metadata"]["namespace"] = hook["metadata"]["namespace"] = "app"
    return (deployment, hook)


class Private:
    """A desk with a component, a registry that has its images, and a mapping of them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.registry = FakeRegistry(f"https://{HOST}", auth="basic")
        desk.web = FakeWeb(self.registry)
        desk.component(COMPONENT + IMAGES, {"own.yaml.j2": OWN})
        desk.releases.render["app"] = rendered
        self.push("cto")

    def push(self, prefix: str) -> dict[str, str]:
        new = {}
        for name in ("quay.io/x/web:1", "docker.io/library/nats:2"):
            repository, _, tag = name.partition(":")
            made = images.image(text=name)
            self.registry.add(f"{prefix}/{repository}", made, tag)
            new[name] = f"{HOST}/{prefix}/{name}@{made.root}"
        (self.desk.folder / "mapping.json").write_text(json.dumps({"data": {"mapping": new}}))
        return new

    def settings(self, **changes: Any) -> None:
        values = {
            "type": "generic",
            "url": HOST,
            "username": self.registry.user,
            "password": self.registry.password,
            "mapping": str(self.desk.folder / "mapping.json"),
            **changes,
        }
        for name, value in values.items():
            self.desk.env[f"CTO_REGISTRY__{name.upper()}"] = str(value)

    def install(self, code: int = 0) -> dict[str, Any]:
        return self.desk.document("install", code=code)

    def changes(self) -> list[str]:
        found: list[str] = self.install()["data"]["changes"]
        return [step for step in found if step.endswith(("app", "web")) or "secret" in step]

    def pod(self) -> Any:
        ref = ObjectRef("apps/v1", "Deployment", "app", "it")
        return (self.desk.cluster.peek(ref) or {})["spec"]["template"]["spec"]

    def login(self) -> Any:
        data = (self.desk.cluster.peek(SECRET) or {})["data"][".dockerconfigjson"]
        return json.loads(base64.b64decode(data))["auths"]

    def upgrades(self) -> int:
        return self.desk.releases.calls.count(("upgrade", "app"))


@pytest.fixture
def private(desk: Desk) -> Private:
    made = Private(desk)
    made.settings()
    return made


def test_every_image_comes_from_there_and_nodes_can_log_in(private: Private) -> None:
    new = private.push("cto")
    private.install()
    pod = private.pod()
    assert pod["containers"][0]["image"] == new["quay.io/x/web:1"]
    assert pod["imagePullSecrets"] == [{"name": "cto-registry"}]
    own = private.desk.cluster.peek(ObjectRef("v1", "ConfigMap", "app", "own")) or {}
    assert own["data"] == {"bus": new["docker.io/library/nats:2"], "secret": "cto-registry"}
    (hook,) = private.desk.releases.hooks("app", "app")
    assert hook["spec"]["template"]["spec"]["containers"][0]["image"] == new["quay.io/x/web:1"]
    assert private.login()[HOST]["password"] == private.registry.password
    for namespace in ("app", "web"):
        account = ObjectRef("v1", "ServiceAccount", namespace, "default")
        found = private.desk.cluster.peek(account) or {}
        assert found["imagePullSecrets"] == [{"name": "cto-registry"}]


def test_a_second_time_nothing_changes(private: Private) -> None:
    private.install()
    assert private.changes() == []
    assert private.upgrades() == 1


def test_another_password_touches_no_release(private: Private) -> None:
    private.install()
    private.registry.password = "another one"
    private.settings(password="another one")
    assert private.changes() == []
    assert private.login()[HOST]["password"] == "another one"
    assert private.upgrades() == 1


def test_another_folder_upgrades(private: Private) -> None:
    private.install()
    new = private.push("other")
    private.settings(namespace="other")
    assert private.changes() == ["before:app", "release:app"]
    assert private.pod()["containers"][0]["image"] == new["quay.io/x/web:1"]


def test_back_to_upstream_nothing_is_left(private: Private) -> None:
    private.install()
    private.settings(type="local")
    assert {"pull-secret:app", "pull-secret:web"} <= set(private.changes())
    assert private.pod() == {"containers": [{"name": "c0", "image": "quay.io/x/web:1"}]}
    assert private.desk.cluster.peek(SECRET) is None
    assert not (private.desk.cluster.peek(ACCOUNT) or {}).get("imagePullSecrets")


def test_a_removal_takes_the_secrets_with_it(private: Private) -> None:
    private.install()
    assert private.desk.cto("uninstall", "--yes").exit_code == 0
    assert private.desk.cluster.peek(SECRET) is None


def test_the_password_is_in_no_plan_and_no_output(private: Private) -> None:
    texts = [private.desk.cto(*words).output for words in (["plan", "install"], ["install"])]
    assert "pull-secret" in json.dumps(private.desk.document("plan", "install"))
    assert not [text for text in texts if private.registry.password in text]
    state = private.desk.cluster.list("v1", "ConfigMap", namespace="cto-system")
    assert private.registry.password not in json.dumps(list(state))


def test_what_is_missing_is_told_before_anything_is_done(private: Private) -> None:
    wanted = digest_of(b"never pushed")
    mapping = {name: f"{HOST}/{name}@{wanted}" for name in private.push("cto")}
    (private.desk.folder / "mapping.json").write_text(json.dumps(mapping))
    error = private.install(code=4)["error"]
    assert error["code"] == "CTO-1440"
    assert error["details"].count(wanted) == 2
    assert private.upgrades() == 0


def test_an_image_without_a_digest_stops_it_even_earlier(private: Private) -> None:
    del private.desk.env["CTO_REGISTRY__MAPPING"]
    assert private.install(code=3)["error"]["code"] == "CTO-1330"
    result = private.desk.cto("plan", "install")
    assert (result.exit_code, "CTO-1330" in result.output) == (3, True)


def test_the_password_may_be_in_a_secret_of_the_cluster(private: Private) -> None:
    metadata = {"name": "mine", "namespace": "cto"}
    data = {"key": base64.b64encode(private.registry.password.encode()).decode()}
    for manifest in (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cto"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data},
    ):
        private.desk.cluster.add(manifest)
    del private.desk.env["CTO_REGISTRY__PASSWORD"]
    private.desk.env["CTO_REGISTRY__PASSWORD__SECRET"] = "mine"
    private.desk.env["CTO_REGISTRY__PASSWORD__KEY"] = "key"
    private.install()
    assert private.login()[HOST]["password"] == private.registry.password


def test_where_only_the_cluster_reaches_the_registry_it_is_not_asked(private: Private) -> None:
    private.desk.web = FakeWeb()
    private.settings(check="false")
    said = private.desk.cto("install").output
    assert "images in the registry: not measured, registry.check is false" in said
    assert private.registry.seen == []


def test_nodes_of_amazon_log_in_by_themselves(private: Private) -> None:
    host = "1.dkr.ecr.eu-west-1.amazonaws.com"
    private.settings(type="ecr", url=host, check="false")
    for name in ("USERNAME", "PASSWORD"):
        del private.desk.env[f"CTO_REGISTRY__{name}"]
    private.install()
    assert private.pod()["containers"][0]["image"].startswith(f"{host}/cto/quay.io/x/web:1@")
    assert private.desk.cluster.peek(SECRET) is None
