"""What only a real API server shows: TLS, validation, load."""

from __future__ import annotations

import base64
import copy
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.adapters.clock import SystemClock
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, dump_yaml, load_yaml
from cto.ports import Access, WatchType
from fakes.clock import FakeClock

pytestmark = pytest.mark.lab


@pytest.fixture
def flat(lab_access: Access) -> dict[str, Any]:
    """Return the kubeconfig with all certificates and keys in it."""
    document: dict[str, Any] = load_yaml(lab_access.kubeconfig.read_text())
    inside = copy.deepcopy(document)
    for item in (inside["clusters"][0]["cluster"], inside["users"][0]["user"]):
        for key in ("certificate-authority", "client-certificate", "client-key"):
            if key in item:
                data = Path(item.pop(key)).read_bytes()
                item[f"{key}-data"] = base64.b64encode(data).decode()
    return inside


def access(document: dict[str, Any], file: Path) -> Access:
    file.write_text(dump_yaml(document))
    return Access(file, document["current-context"])


def test_keys_in_the_kubeconfig_leave_no_files(
    flat: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    for _ in range(2):
        cluster = KubeCluster(access(flat, tmp_path / "kubeconfig"), clock=SystemClock())
        assert cluster.server_version()
        assert list(folder.iterdir()) == []
        cluster.close()


def test_a_certificate_of_somebody_else_is_refused(flat: dict[str, Any], tmp_path: Path) -> None:
    own = flat["users"][0]["user"]["client-certificate-data"]
    flat["clusters"][0]["cluster"]["certificate-authority-data"] = own
    cluster = KubeCluster(access(flat, tmp_path / "kubeconfig"), clock=FakeClock())
    with pytest.raises(ApiError) as caught:
        cluster.server_version()
    assert caught.value.code == "CTO-1601"
    assert "certificate verify failed" in caught.value.details.lower()


@pytest.mark.parametrize(("name", "fits"), [("kubernetes.default.svc", True), ("other", False)])
def test_the_certificate_may_be_for_another_name(
    flat: dict[str, Any], tmp_path: Path, name: str, *, fits: bool
) -> None:
    flat["clusters"][0]["cluster"]["tls-server-name"] = name
    cluster = KubeCluster(access(flat, tmp_path / "kubeconfig"), clock=FakeClock())
    if fits:
        assert cluster.server_version()
    else:
        with pytest.raises(ApiError, match="no answer"):
            cluster.server_version()


def test_nobody_is_not_allowed(flat: dict[str, Any], tmp_path: Path) -> None:
    flat["users"][0]["user"] = {}
    cluster = KubeCluster(access(flat, tmp_path / "kubeconfig"), clock=FakeClock())
    with pytest.raises(ApiError) as caught:
        cluster.list("v1", "Secret")
    assert caught.value.code == "CTO-1602"


def manifest(kind: str, name: str, **fields: Any) -> Manifest:
    api_version = "apps/v1" if kind == "Deployment" else "v1"
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (manifest("ConfigMap", "A_"), "RFC 1123"),
        (manifest("Deployment", "a", spec={"surprise": 1}), ".spec.surprise"),
        (manifest("Deployment", "a", spec={"replicas": 1}), "spec.selector"),
    ],
)
def test_what_validation_refuses_is_told(
    real_cluster: KubeCluster, wrong: Manifest, text: str
) -> None:
    with pytest.raises(ApiError) as caught:
        real_cluster.apply(wrong)
    assert caught.value.code == "CTO-1605"
    assert text in caught.value.message


@pytest.mark.parametrize(
    "secret",
    [
        manifest("Secret", "a", data={"password": "hunter2%"}),
        manifest("Secret", "a", stringData={"password": ["hunter2"]}),
        manifest("Secret", "a", type="kubernetes.io/tls", data={"hunter2": "aHVudGVyMg=="}),
    ],
)
def test_a_refused_secret_is_not_quoted(real_cluster: KubeCluster, secret: Manifest) -> None:
    for write in (real_cluster.apply, real_cluster.create):
        with pytest.raises(ApiError) as caught:
            write(secret)
        assert "hunter2" not in f"{caught.value.message}{caught.value.details}"


def test_a_quota_is_named(real_cluster: KubeCluster) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "quota"}}
    real_cluster.create(namespace)
    quota = manifest("ResourceQuota", "small", spec={"hard": {"count/secrets": "0"}})
    quota["metadata"]["namespace"] = "quota"
    real_cluster.create(quota)
    ref = ObjectRef("v1", "ResourceQuota", "quota", "small")
    clock, never = SystemClock(), Flag()
    while not (real_cluster.get(ref) or {}).get("status"):
        clock.wait(never, 0.05)
    secret = manifest("Secret", "a")
    secret["metadata"]["namespace"] = "quota"
    with pytest.raises(ApiError) as caught:
        real_cluster.apply(secret)
    assert caught.value.code == "CTO-1605"
    assert "exceeded quota: small" in caught.value.message


def test_many_threads_share_one_cluster(real_cluster: KubeCluster) -> None:
    stop = Flag()
    before = threading.active_count()

    def watch(_: int) -> WatchType:
        events = real_cluster.watch("v1", "ConfigMap", namespace="default", stop=stop)
        first = next(events)
        for _event in events:
            pass
        return first.type

    def work(number: int) -> str:
        name = f"busy-{number}"
        real_cluster.apply(manifest("ConfigMap", name))
        found = real_cluster.list("v1", "ConfigMap", fields=f"metadata.name={name}")
        assert real_cluster.delete(ObjectRef("v1", "ConfigMap", "default", name))
        return str(found[0]["metadata"]["name"])

    with ThreadPoolExecutor(40) as pool:
        watches = [pool.submit(watch, number) for number in range(10)]
        assert sorted(pool.map(work, range(100))) == sorted(f"busy-{n}" for n in range(100))
        stop.set()
        assert {item.result(10) for item in watches} == {WatchType.SYNC}
    clock, never = SystemClock(), Flag()
    for _ in range(40):
        if threading.active_count() <= before:
            break
        clock.wait(never, 0.05)
    assert threading.active_count() <= before


def test_who_wrote_which_field_is_told_only_if_asked_for(lab_access: Access) -> None:
    cluster = KubeCluster(lab_access, clock=SystemClock())
    metadata = {"name": "written", "namespace": "default"}
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}
    ref = ObjectRef("v1", "ConfigMap", "default", "written")
    cluster.apply(wanted, manager="helm")
    assert "managedFields" not in (cluster.get(ref) or {})["metadata"]
    (entry,) = (cluster.get(ref, managed_fields=True) or {})["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("helm", "Apply")
    assert entry["fieldsV1"]["f:data"] == {"f:a": {}}


POD: Manifest = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "c", "image": "x"}]},
}
TEMPLATE: Manifest = {"template": {**POD, "spec": {**POD["spec"], "restartPolicy": "Never"}}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
ROLE = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role"}
SETS = {"selector": {"matchLabels": {"a": "b"}}, "template": POD, "serviceName": "a"}
# kind, api version, as it is, as it is to be, the field that is named
IMMUTABLE: list[tuple[str, str, Manifest, Manifest, str]] = [
    (
        "Deployment",
        "apps/v1",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": POD}},
        {"spec": {"selector": {"matchLabels": {"c": "d"}}, "template": POD}},
        "spec.selector",
    ),
    ("StatefulSet", "apps/v1", {"spec": SETS}, {"spec": {**SETS, "serviceName": "b"}}, "spec"),
    (
        "Job",
        "batch/v1",
        {"spec": TEMPLATE},
        {"spec": {"template": {"spec": {**TEMPLATE["template"]["spec"], "hostNetwork": True}}}},
        "spec.template",
    ),
    (
        "Service",
        "v1",
        {"spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]}},
        {"spec": {"clusterIP": "10.0.0.99", "selector": {"a": "b"}, "ports": [{"port": 80}]}},
        "spec.clusterIPs[0]",
    ),
    (
        "PersistentVolumeClaim",
        "v1",
        {"spec": {**CLAIM, "storageClassName": "a"}},
        {"spec": {**CLAIM, "storageClassName": "b"}},
        "spec",
    ),
    (
        "StorageClass",
        "storage.k8s.io/v1",
        {"provisioner": "example.com/a"},
        {"provisioner": "example.com/b"},
        "provisioner",
    ),
    (
        "RoleBinding",
        "rbac.authorization.k8s.io/v1",
        {"roleRef": {**ROLE, "name": "a"}},
        {"roleRef": {**ROLE, "name": "b"}},
        "roleRef",
    ),
    (
        "ConfigMap",
        "v1",
        {"immutable": True, "data": {"a": "1"}},
        {"immutable": True, "data": {"a": "2"}},
        "data",
    ),
    ("Secret", "v1", {"type": "Opaque"}, {"type": "example.com/x"}, "type"),
]


@pytest.mark.parametrize("row", IMMUTABLE, ids=[row[0] for row in IMMUTABLE])
def test_a_field_that_cannot_be_changed_is_named_by_a_dry_run(
    lab_access: Access, row: tuple[str, str, Manifest, Manifest, str]
) -> None:
    kind, api_version, old, new, field = row
    cluster = KubeCluster(lab_access, clock=SystemClock())
    metadata = {"name": f"fixed-{kind.lower()}", "namespace": "default"}
    head: Manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata}
    cluster.apply({**head, **old}, manager="helm")
    with pytest.raises(ApiError) as caught:
        cluster.apply({**head, **new}, manager="helm", dry_run=True)
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert field in [name for name, _ in caught.value.causes]
    texts = [text for _, text in caught.value.causes]
    assert all(texts) is (kind != "Secret")
