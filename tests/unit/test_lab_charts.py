"""The lab's stand-in charts, the stages of simulated clusters, and the failures put into them."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from cto import assets, catalog
from lab.charts import pack
from lab.stages import inject

KWOK = assets.root() / "templates" / "kwok"

with (pack.HERE / "crds.csv").open(encoding="utf-8", newline="") as _file:
    ROWS = tuple(csv.DictReader(_file))


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        return {
            info.name: content.read().decode()
            for info in tar
            if (content := tar.extractfile(info)) is not None
        }


def stages(pod_ready_seconds: float) -> list[dict[str, Any]]:
    text = (KWOK / "stages.yaml.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - YAML
    rendered = environment.from_string(text).render(pod_ready_seconds=pod_ready_seconds)
    return list(yaml.safe_load_all(rendered))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("charts")
    return {path.name: path for path in pack.pack(out, {})}


@pytest.fixture(scope="module")
def crds() -> list[tuple[dict[str, str], dict[str, Any]]]:
    return [(row, pack.crd(row, "1.0.0")) for row in ROWS]


def test_packing_twice_gives_the_same_bytes(packed: dict[str, Path], tmp_path: Path) -> None:
    for path in pack.pack(tmp_path, {"velero": "12.1.0", "argo-events": "2.4.22"}):
        assert path.read_bytes() == packed[path.name].read_bytes()


def test_no_part_file_is_left(packed: dict[str, Path]) -> None:
    folder = next(iter(packed.values())).parent
    assert {path.name for path in folder.iterdir()} == set(packed)


def test_archives_tell_nothing_of_time_place_and_person(packed: dict[str, Path]) -> None:
    for path in packed.values():
        data = path.read_bytes()
        assert data[4:8] == b"\0\0\0\0"
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(data))) as tar:
            for info in tar:
                assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")


def test_every_published_chart_of_the_catalog_has_a_stand_in_of_its_version(
    packed: dict[str, Path],
) -> None:
    charts = [component.chart for component in catalog.load(assets.root() / "bundle").components]
    assert {f"{chart.name}-{chart.version}.tgz" for chart in charts if chart.url} == set(packed)


def test_a_stand_in_says_that_it_is_one(packed: dict[str, Path]) -> None:
    for path in packed.values():
        with tarfile.open(path) as tar:
            content = tar.extractfile(tar.next() or "")
            assert content is not None
            data = yaml.safe_load(content)
        assert path.name == f"{data['name']}-{data['version']}.tgz"
        assert "stand-in" in data["description"]
        assert data["annotations"]["cto.dev/stand-in"] == "true"


def test_crds_have_upstreams_size_and_number_of_fields(
    crds: list[tuple[dict[str, str], dict[str, Any]]],
) -> None:
    assert len(crds) == 42
    for row, made in crds:
        # A few have next to no schema upstream: ours still names spec and status.
        assert 0 <= pack.compact(made) - int(row["bytes"]) <= 30, row
        schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert abs(_fields(schema) - int(row["fields"])) <= 2, row


def _fields(schema: dict[str, Any]) -> int:
    below = [*schema.get("properties", {}).values()]
    if "items" in schema:
        below.append(schema["items"])
    return 1 + sum(map(_fields, below))


def test_crds_take_any_real_object(crds: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    for _, made in crds:
        properties = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        for part in ("spec", "status"):
            assert properties[part]["x-kubernetes-preserve-unknown-fields"] is True
            assert "required" not in properties[part]


def test_crds_are_written_as_the_yaml_of_what_was_made() -> None:
    files = dict(pack.crd_files("velero", "1.0.0"))
    made = [pack.crd(row, "1.0.0") for row in ROWS if row["chart"] == "velero"]
    assert [yaml.safe_load(text) for text in files.values()] == made


def test_crds_lie_where_upstream_has_them() -> None:
    assert all(path.startswith("crds/") for path, _ in pack.crd_files("velero", "1"))
    for path, text in pack.crd_files("argo-events", "1"):
        assert path.startswith("templates/crds/")
        assert text.startswith("{{- if .Values.crds.install }}\n")


def test_a_bump_packs_one_chart_with_other_crds(tmp_path: Path) -> None:
    [path] = pack.pack(tmp_path, {"velero": "12.2.0"})
    assert path.name == "velero-12.2.0.tgz"
    files = members(path)
    assert "\nversion: 12.2.0\n" in files["velero/Chart.yaml"]
    _, before = pack.chart_files("velero")
    assert files["velero/crds/backups.yaml"] != before["crds/backups.yaml"]


def test_pods_carry_the_charts_version() -> None:
    _, files = pack.chart_files("grafana")
    assert (
        "cto.dev/stand-in-version: {{ $root.Chart.Version | quote }}" in files["templates/_lab.tpl"]
    )


@pytest.mark.parametrize("text", ["grafana", "grafana=", "unknown=1.0.0"])
def test_a_wrong_bump_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        pack.main(["--bump", text])
    assert raised.value.code == 2
    assert "NAME=VERSION" in capsys.readouterr().err


def test_paths_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack.main(["--out", str(tmp_path), "--bump", "grafana=12.12.0"])
    assert capsys.readouterr().out == f"{tmp_path / 'grafana-12.12.0.tgz'}\n"


def test_the_cache_can_be_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CTO_LAB_CACHE", str(tmp_path))
    assert pack.default_out() == tmp_path / "charts"
    monkeypatch.delenv("CTO_LAB_CACHE")
    assert pack.default_out() == Path.home() / ".cache" / "cto-lab" / "charts"


def test_four_crds_are_too_large_for_client_side_apply() -> None:
    """The annotation of a client-side apply ends at 262,144 bytes."""
    assert sum(int(row["bytes"]) > 262_144 for row in ROWS) == 4


@pytest.mark.parametrize(("seconds", "milliseconds"), [(0, 0), (8, 8000), (0.5, 500)])
def test_pods_become_ready_after_the_time_that_was_asked_for(
    seconds: float, milliseconds: int
) -> None:
    ready = next(stage for stage in stages(seconds) if stage["metadata"]["name"] == "pod-ready")
    assert ready["spec"]["delay"] == {"durationMilliseconds": milliseconds}


def test_healthy_stages_have_no_weight_so_that_failures_go_first() -> None:
    healthy = stages(0)
    assert len({stage["metadata"]["name"] for stage in healthy}) == len(healthy) >= 9
    for stage in healthy:
        assert (stage["apiVersion"], stage["kind"]) == ("kwok.x-k8s.io/v1alpha1", "Stage")
        assert "weight" not in stage["spec"]


def test_stages_select_by_jq_only() -> None:
    """CEL fails on an object without the field, and the object then gets no stage at all."""
    for stage in stages(0):
        for expression in stage["spec"]["selector"]["matchExpressions"]:
            assert list(expression) == ["jq"]


def test_the_default_storage_class_is_served_by_the_stages() -> None:
    [storage] = yaml.safe_load_all((KWOK / "cluster.yaml").read_text(encoding="utf-8"))
    assert storage["metadata"]["annotations"] == {
        "storageclass.kubernetes.io/is-default-class": "true"
    }
    provision = next(stage for stage in stages(0) if stage["metadata"]["name"] == "claim-provision")
    values = provision["spec"]["selector"]["matchExpressions"][-1]["jq"]["values"]
    assert values == [storage["provisioner"]]


@pytest.mark.parametrize("fault", inject.FAULTS)
def test_failures_outrank_the_healthy_stages(fault: str) -> None:
    for document in yaml.safe_load_all(inject.manifests(fault)):
        if document["kind"] == "Stage":
            assert document["spec"]["weight"] > 0
            assert document["spec"]["steps"]


@pytest.mark.parametrize("fault", inject.FAULTS)
def test_a_failure_strikes_what_has_its_annotation(fault: str) -> None:
    first = next(yaml.safe_load_all(inject.manifests(fault)))
    assert first["spec"]["selector"]["matchExpressions"][0]["jq"] == {
        "key": '.metadata.annotations["lab.cto.dev/fault"]',
        "operator": "In",
        "values": [fault],
    }


@pytest.mark.parametrize("fault", inject.FAULTS)
def test_a_failure_strikes_a_namespace_and_names(fault: str) -> None:
    documents = list(yaml.safe_load_all(inject.manifests(fault, namespace="a", prefix="b")))
    key = '.metadata.namespace == "a" and (.metadata.name | startswith("b"))'
    for document in documents:
        assert document["metadata"]["name"].startswith(f"fault-{fault}-a-b")
        if document["kind"] == "Stage":
            expression = document["spec"]["selector"]["matchExpressions"][0]
            assert expression["jq"]["key"] == key
    assert not any("@" in str(document) for document in documents)


def test_a_crash_has_a_log_in_the_format_of_cri() -> None:
    documents = list(yaml.safe_load_all(inject.manifests("crash-loop", namespace="a")))
    [logs] = [document["spec"] for document in documents if document["kind"] == "ClusterLogs"]
    assert logs["selector"] == {"matchNamespaces": ["a"]}
    lines = Path(logs["logs"][0]["previousLogsFile"]).read_text(encoding="utf-8").splitlines()
    assert all(line.split(" ")[1:3] == ["stderr", "F"] for line in lines)


def test_a_failure_takes_options() -> None:
    text = inject.manifests("crash-loop", reason="OOMKilled", exit="137")
    assert "exitCode: 137, reason: OOMKilled" in text


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        inject.manifests("slow", colour="red")
