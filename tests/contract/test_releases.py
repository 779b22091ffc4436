"""What every Releases does, with a chart that renders what `fakes.releases.plain_chart` does."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import pytest

from cto.adapters.helm.charts import pack
from cto.errors import Cancelled, ToolError
from cto.objects import Manifest, ObjectRef, annotations_of, dump_yaml, labels_of
from cto.ports import Chart, ReleaseSpec
from cto.relocation import Relocation
from fakes.place import Place
from fakes.releases import FakeReleases, plain_chart

CHART = "plain"
TIMEOUT_S = 60.0


@pytest.fixture
def spec(place: Place, tmp_path: Path) -> ReleaseSpec:
    """Write the chart that the fake only pretends to have."""
    folder = tmp_path / CHART
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: plain\nversion: 1.0.0\n")
    config, deployment = plain_chart(_spec("NAME", tmp_path, {}))
    config["data"] = {"digest": "VALUES"}
    hook = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "NAME-hook", "annotations": {"helm.sh/hook": "pre-install"}},
    }
    for number, manifest in enumerate((config, deployment, hook)):
        text = dump_yaml(manifest).replace("NAME", "{{ .Release.Name }}")
        text = text.replace("VALUES", "{{ .Values | toJson | sha256sum }}")
        (folder / "templates" / f"{number}.yaml").write_text(text)
    path, digest = pack(folder, CHART, tmp_path / "packed")
    made = _spec("rel", path, {"secret": "hunter2", "text": "ü😀 'x' \n- y"})
    return replace(
        made, namespace=place.namespace, chart=replace(made.chart, path=path, digest=digest)
    )


def _spec(name: str, path: Path, values: Mapping[str, str]) -> ReleaseSpec:
    chart = Chart(name=CHART, version="1.0.0", path=path, digest="0" * 64)
    labels = {"cto.dev/digest": "one", "cto.dev/other": "x"}
    return ReleaseSpec(name=name, namespace="", chart=chart, values=values, labels=labels)


def records(place: Place) -> dict[str, dict[str, str]]:
    found = place.cluster.list_metadata(
        "v1", "Secret", namespace=place.namespace, labels="owner=helm,name=rel"
    )
    return {item["metadata"]["name"]: labels_of(item) for item in found}


def digest_of(place: Place) -> str:
    live = place.cluster.get(ObjectRef("v1", "ConfigMap", place.namespace, "rel-values"))
    return str(live["data"]["digest"]) if live else ""


def test_a_template_needs_no_cluster(place: Place, spec: ReleaseSpec) -> None:
    found = place.releases().template(spec, kube_version="v1.34.4", api_versions=["a/v1"])
    names = {item["metadata"]["name"] for item in found}
    assert {"rel", "rel-values"} <= names
    assert records(place) == {}


def test_a_relocation_sees_everything_that_a_chart_renders(place: Place, tmp_path: Path) -> None:
    """Hooks are among it; what does not change keeps its type, whatever it looks like."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "nats:2"}]}
    data = {"exponent": "1e3", "time": "12:30:00", "yes": "on", "file": "image: nats:2\n"}
    config = place.config_map("texts")
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {"spec": pod}}}
    manifests = [
        {**config, "data": data},
        {**job, "metadata": {"name": "plain"}},
        {**job, "metadata": {"name": "hook", "annotations": {"helm.sh/hook": "post-delete"}}},
    ]
    made = replace(
        _spec("rel", tmp_path, {}),
        namespace=place.namespace,
        chart=chart_of(tmp_path / "moved", *manifests),
        relocation=Relocation(images={"nats:2": "r.example/nats:2"}, pull_secret="puller"),
    )
    releases = place.releases()
    if isinstance(releases, FakeReleases):
        releases.render[CHART] = lambda _: manifests
    moved = {**pod, "containers": [{"name": "a", "image": "r.example/nats:2"}]}
    moved["imagePullSecrets"] = [{"name": "puller"}]
    for found in (
        releases.template(made, kube_version="v1.34.4"),
        releases.upgrade(made, timeout_s=TIMEOUT_S),
        releases.hooks("rel", place.namespace),
    ):
        jobs = [item for item in found if item["kind"] == "Job"]
        assert [item["spec"]["template"]["spec"] for item in jobs] == [moved] * len(jobs)
        assert jobs
    live = place.cluster.get(ObjectRef("v1", "ConfigMap", place.namespace, "texts"))
    assert live
    assert live["data"] == {**data, "file": "image: r.example/nats:2\n"}


def test_an_installation_leaves_a_record_with_our_labels(place: Place, spec: ReleaseSpec) -> None:
    objects = place.releases().upgrade(spec, timeout_s=TIMEOUT_S)
    hooks = [item for item in objects if "helm.sh/hook" in annotations_of(item)]
    assert {(item["kind"], item["metadata"]["name"]) for item in objects if item not in hooks} == {
        ("ConfigMap", "rel-values"),
        ("Deployment", "rel"),
    }
    assert hooks == list(place.releases().hooks("rel", place.namespace))
    (name,) = found = records(place)
    assert name == "sh.helm.release.v1.rel.v1"
    assert found[name]["status"] == "deployed"
    assert found[name]["version"] == "1"
    assert found[name]["cto.dev/digest"] == "one"
    assert digest_of(place)


def test_an_upgrade_adds_a_record_and_merges_labels(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    before = digest_of(place)
    new = replace(spec, values={"other": "value"}, labels={"cto.dev/digest": "two"})
    releases.upgrade(new, timeout_s=TIMEOUT_S)
    found = records(place)
    assert {name: labels["status"] for name, labels in found.items()} == {
        "sh.helm.release.v1.rel.v1": "superseded",
        "sh.helm.release.v1.rel.v2": "deployed",
    }
    newest = found["sh.helm.release.v1.rel.v2"]
    assert (newest["cto.dev/digest"], newest["cto.dev/other"]) == ("two", "x")
    assert digest_of(place) != before


def test_the_objects_of_a_release_can_be_asked_for(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    assert releases.manifest("rel", place.namespace) == ()
    assert releases.hooks("rel", place.namespace) == ()
    assert releases.status("rel", place.namespace) == ""
    objects = releases.upgrade(spec, timeout_s=TIMEOUT_S)
    assert releases.status("rel", place.namespace) == "deployed"
    found = releases.manifest("rel", place.namespace)
    assert {item["kind"] for item in found} == {item["kind"] for item in objects}


def test_a_rollback_brings_objects_and_labels_back(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    before = digest_of(place)
    new = replace(spec, values={"other": "value"}, labels={"cto.dev/digest": "two"})
    releases.upgrade(new, timeout_s=TIMEOUT_S)
    releases.rollback("rel", place.namespace, 1, timeout_s=TIMEOUT_S)
    newest = records(place)["sh.helm.release.v1.rel.v3"]
    assert (newest["status"], newest["cto.dev/digest"]) == ("deployed", "one")
    assert digest_of(place) == before


def test_a_rollback_to_nothing_fails(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    with pytest.raises(ToolError) as caught:
        releases.rollback("rel", place.namespace, 7, timeout_s=TIMEOUT_S)
    assert caught.value.code == "CTO-1500"


def test_an_uninstallation_leaves_nothing_and_may_be_repeated(
    place: Place, spec: ReleaseSpec
) -> None:
    releases = place.releases()
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    for wait in (True, False):
        releases.uninstall("rel", place.namespace, timeout_s=TIMEOUT_S, wait=wait)
        assert records(place) == {}
        assert digest_of(place) == ""


def test_what_somebody_else_owns_is_not_taken(place: Place, spec: ReleaseSpec) -> None:
    place.cluster.apply(place.config_map("rel-values"))
    with pytest.raises(ToolError) as caught:
        place.releases().upgrade(spec, timeout_s=TIMEOUT_S)
    assert "invalid ownership metadata" in caught.value.details


def test_nothing_starts_while_an_operation_is_pending(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    leave_pending(place)
    with pytest.raises(ToolError) as caught:
        releases.upgrade(spec, timeout_s=TIMEOUT_S)
    assert "another operation" in caught.value.details


def leave_pending(place: Place) -> None:
    """Write the newest record as a killed helm leaves it: Helm believes the payload."""
    ref = ObjectRef("v1", "Secret", place.namespace, "sh.helm.release.v1.rel.v1")
    record = place.cluster.get(ref)
    assert record
    record["metadata"]["labels"]["status"] = "pending-upgrade"
    packed = base64.b64decode(record["data"]["release"])
    if not packed.startswith(b"{"):
        payload = json.loads(gzip.decompress(base64.b64decode(packed)))
        payload["info"]["status"] = "pending-upgrade"
        packed = base64.b64encode(gzip.compress(json.dumps(payload).encode()))
    record["data"]["release"] = base64.b64encode(packed).decode()
    place.cluster.update(record)


def test_a_cancelled_upgrade_is_a_failed_one_and_can_be_repeated(
    place: Place, spec: ReleaseSpec, tmp_path: Path
) -> None:
    """Nothing runs the Job of this chart's hook, so that Helm waits for it."""
    cancel = Flag()
    releases = place.releases()
    if isinstance(releases, FakeReleases):
        releases.during_upgrade = lambda _: cancel.wait(TIMEOUT_S)
    stuck = replace(spec, chart=chart_with_hook(tmp_path / "stuck"))

    def cancel_once_pending() -> None:
        while not any(labels["status"] == "pending-install" for labels in records(place).values()):
            time.sleep(0.05)
        cancel.set()

    thread = Thread(target=cancel_once_pending, daemon=True)
    thread.start()
    with pytest.raises(Cancelled):
        releases.upgrade(stuck, timeout_s=TIMEOUT_S, cancel=cancel)
    thread.join(TIMEOUT_S)
    assert [labels["status"] for labels in records(place).values()] == ["failed"]
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    assert records(place)["sh.helm.release.v1.rel.v2"]["status"] == "deployed"


def chart_with_hook(folder: Path) -> Chart:
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "hook", "annotations": {"helm.sh/hook": "pre-install"}},
        "spec": {"template": {"spec": pod}},
    }
    return chart_of(folder, job)


def chart_of(folder: Path, *manifests: Manifest) -> Chart:
    """Pack a chart that renders just that."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: plain\nversion: 1.0.0\n")
    for number, manifest in enumerate(manifests):
        # JSON quotes every text: Go reads a bare 1e3 as a number.
        (folder / "templates" / f"{number}.yaml").write_text(json.dumps(manifest))
    path, digest = pack(folder, CHART, folder.parent / "packed")
    return Chart(name=CHART, version="1.0.0", path=path, digest=digest)


def test_helms_own_label_names_are_refused(place: Place, spec: ReleaseSpec) -> None:
    with pytest.raises(ToolError) as caught:
        place.releases().upgrade(replace(spec, labels={"owner": "me"}), timeout_s=TIMEOUT_S)
    assert "reserved" in caught.value.details


def test_a_record_tells_its_chart(place: Place, spec: ReleaseSpec) -> None:
    releases = place.releases()
    assert releases.chart("rel", place.namespace) == ("", "", "")
    releases.upgrade(spec, timeout_s=TIMEOUT_S)
    assert releases.chart("rel", place.namespace) == (CHART, "1.0.0", "")
