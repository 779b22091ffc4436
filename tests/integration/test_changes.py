"""What a plan says about a change before it happens, asked of a real API server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from .conftest import CONTEXT, ROOT, Lab

OLD, NEW = "1.0.18", "1.0.19"
CHART = "argo-workflows"
SELECTOR = '{{- define "lab.selector" -}}\n'
LABELS = '{{- define "lab.labels" -}}\n{{- $root := index . 0 -}}\n'


def bumped(lab: Lab) -> Path:
    """Return a folder with all charts, one of them newer."""
    folder = lab.folder / "bumped"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(lab.charts, folder)
    (folder / f"{CHART}-{OLD}.tgz").unlink()
    pack = [sys.executable, str(ROOT / "tests/lab/charts/pack.py"), "--out", str(folder)]
    subprocess.run([*pack, "--bump", f"{CHART}={NEW}"], check=True, capture_output=True)
    return folder


def reselecting(lab: Lab) -> Path:
    """Return the same, and the newer one selects its pods by one more label."""
    folder = bumped(lab)
    archive = folder / f"{CHART}-{NEW}.tgz"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    file = next((folder / CHART).rglob("_lab.tpl"))
    text = file.read_text()
    for definition in (SELECTOR, LABELS):
        assert text.count(definition) == 1
        text = text.replace(definition, f"{definition}cto.dev/more: label\n")
    file.write_text(text)
    return folder


def planned(lab: Lab, *arguments: str, code: int = 0) -> dict[str, Any]:
    return lab.data("plan", "install", "--provider", "kwok", *arguments, code=code)


def revisions(lab: Lab) -> dict[str, str]:
    listed = json.loads(lab.helm("list", "-A", "-o", "json"))
    return {item["name"]: item["revision"] for item in listed}


def test_a_selector_that_changes_is_found_by_the_plan_and_its_way_out_works(fresh: Lab) -> None:
    fresh.install()
    before = revisions(fresh)
    charts = ("--charts", str(reselecting(fresh)))
    checks = planned(fresh, *charts, code=4)["preflight"]
    (check,) = [check for check in checks if check["status"] == "failed"]
    assert check["code"] == "CTO-1471"
    assert all(
        item.startswith(f"Argo Workflows (chart {CHART} {NEW}): Deployment ")
        and "spec.selector: " in item
        and "field is immutable" in item
        for item in check["items"]
    ), check["items"]
    error = fresh.install("minimal", *charts, code=4)["error"]
    assert error["code"] == "CTO-1471"
    assert revisions(fresh) == before

    start = f"  kubectl --context {CONTEXT} "
    ways = [line for line in check["fix"].splitlines() if line.startswith(start)]
    assert len(ways) == len(check["items"])
    for line in ways:
        fresh.kubectl(*line.removeprefix(start).split())
    assert fresh.install("minimal", *charts)["error"] is None
    assert revisions(fresh)[CHART] == "2"


def test_a_downgrade_is_refused_until_it_is_asked_for(fresh: Lab) -> None:
    fresh.install("minimal", "--charts", str(bumped(fresh)))
    before = revisions(fresh)
    checks = planned(fresh, code=4)["preflight"]
    assert "CTO-1470" in [check["code"] for check in checks]
    assert f"{CHART}-{NEW} -> {CHART}-{OLD} (an older chart)" in str(checks)
    assert fresh.install("minimal", code=4)["error"]["code"] == "CTO-1470"
    assert revisions(fresh) == before
    fresh.install("minimal", "--allow-downgrade")
    assert revisions(fresh)[CHART] == "2"
    assert planned(fresh)["changes"] == 0


def test_who_scaled_a_deployment_is_in_the_plan_of_the_next_change(fresh: Lab) -> None:
    fresh.install()
    name = fresh.kubectl("get", "deploy", "-n", "argo-events", "-o", "name").split()[0]
    fresh.kubectl("scale", "--replicas=5", "-n", "argo-events", name)
    assert planned(fresh)["changes"] == 0

    config = fresh.folder / "cto.yaml"
    values = {"controller": {"replicas": 2}}
    config.write_text(json.dumps({"components": {"argo-events": {"values": values}}}))
    steps = planned(fresh, "--config", str(config))["steps"]
    (taken,) = next(step for step in steps if step["id"] == "release:argo-events")["takes_back"]
    assert (taken["field"], taken["change"]) == ("spec.replicas", "5 -> 2")
    # When it was, the API server does not write down for the subresource `scale`.
    assert (taken["manager"], taken["subresource"]) == ("kubectl", "scale")
