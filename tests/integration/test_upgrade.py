"""`cto upgrade` and the way back, with Helm on a real API server."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Lab
from .essence import Essence, assert_same, settled
from .kills import Run, held, no_child_is_left
from .test_changes import CHART, NEW, OLD, bumped, reselecting

EVENTS = "argo-events-controller-manager"
KEY = "sk-planted-for-the-upgrade"


def chart_of(lab: Lab, release: str) -> str:
    found = json.loads(lab.helm("list", "-A", "-o", "json"))
    return next(str(item["chart"]) for item in found if item["name"] == release)


def upgraded(lab: Lab, charts: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    return lab.data("upgrade", "--yes", *arguments, "--charts", str(charts), code=code)


def assert_back(lab: Lab, before: Essence, *besides: str) -> None:
    """Everything is what it was, but for the definitions: newer ones stay."""
    but = ("CustomResourceDefinition", *besides)
    now = settled(lab.cluster())
    others = {name: one for name, one in now.items() if any(word in name for word in but)}
    assert_same(lab.cluster(), {**before, **others})


@pytest.fixture
def given(fresh: Lab) -> Lab:
    """A platform that was installed from a file and a variable, both of which are gone."""
    file = fresh.folder / "given.yaml"
    file.write_text("platform: {name: shop}\nproviders: {anthropic: '${PLANTED}'}\n")
    fresh.install("minimal", "--config", str(file), env={"PLANTED": KEY})
    file.unlink()
    return fresh


def test_an_upgrade_needs_the_cluster_alone_and_the_way_back_is_whole(given: Lab) -> None:
    before = settled(given.cluster())
    newer = bumped(given)
    plan = given.data("plan", "upgrade", "--check", "--charts", str(newer), code=11)
    (step,) = (one for one in plan["steps"] if one["id"] == "release:argo-workflows")
    assert step["from"]["chart"] == f"{CHART}-{OLD}"
    assert step["objects"]

    done = upgraded(given, newer)
    assert set(done["changes"]) - {"crds:argo-workflows"} == {"release:argo-workflows"}
    assert chart_of(given, CHART) == f"{CHART}-{NEW}"
    assert given.data("status", "--show-config")["config"]["platform"]["name"] == "shop"
    given.data("plan", "upgrade", "--check", "--charts", str(newer))

    back = given.data("rollback", "--yes")
    assert back["takes_back"] == [2]
    assert chart_of(given, CHART) == f"{CHART}-{OLD}"
    assert_back(given, before)
    # What came back is what the older program would install: nothing is to be done.
    assert given.data("plan", "upgrade", "--check")["changes"] == 0
    outcomes = [(one["command"], one["outcome"]) for one in given.data("history")["runs"]]
    assert outcomes == [("rollback", "done"), ("upgrade", "done"), ("install", "done")]
    told = "".join(run.stdout + run.stderr for run in given.runs)
    assert KEY not in told
    assert KEY not in given.kubectl("get", "configmaps", "-n", "cto-system", "-o", "yaml")


def test_what_cannot_be_changed_is_replaced_where_that_is_asked_for(given: Lab) -> None:
    charts = reselecting(given)
    error = upgraded(given, charts, code=4)["error"]
    assert error["code"] == "CTO-1471"
    assert "--replace" in error["details"]
    done = upgraded(given, charts, "--replace")
    assert f"release:{CHART}" in done["changes"]
    assert chart_of(given, CHART) == f"{CHART}-{NEW}"
    assert "cto.dev/more" in given.kubectl("get", "deployments", "-n", "argo", "-o", "json")
    given.data("rollback", "--yes")
    assert chart_of(given, CHART) == f"{CHART}-{OLD}"
    assert "cto.dev/more" not in given.kubectl("get", "deployments", "-n", "argo", "-o", "json")


def broken(lab: Lab) -> Path:
    """Return charts of which the newer one has an object that the API server refuses as it runs."""
    folder = bumped(lab)
    archive = folder / f"{CHART}-{NEW}.tgz"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()
    hook = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "never",
            "annotations": {"helm.sh/hook": "post-upgrade", "helm.sh/hook-weight": "1"},
        },
        # Names are checked when it is made: a hook's dry run is not part of the plan.
        "spec": {"template": {"spec": {"restartPolicy": "Sometimes", "containers": []}}},
    }
    (folder / CHART / "templates" / "never.yaml").write_text(json.dumps(hook))
    return folder


def test_a_component_that_fails_is_brought_back_and_status_says_so(given: Lab) -> None:
    before = settled(given.cluster())
    done = given.run("upgrade", "--yes", "--charts", str(broken(given)), code=5)
    assert f"Roll Argo Workflows back to {CHART}-{OLD}" in done.stderr
    assert chart_of(given, CHART) == f"{CHART}-{OLD}"
    assert_back(given, before, "cto-state")
    last = given.data("history")["runs"][0]
    assert (last["outcome"], last["rolled_back"]) == ("failed", [CHART])
    status = given.data("status", code=9)
    assert status["unfinished"] == [CHART]
    newer = bumped(given)
    assert f"release:{CHART}" in upgraded(given, newer)["changes"]
    given.data("status")


def test_drift_is_told_with_who_made_it_and_put_back_by_itself(given: Lab) -> None:
    given.data("status", "--drift")
    given.kubectl("scale", "--replicas=3", "-n", "argo-events", f"deploy/{EVENTS}")
    policy = given.kubectl("get", "networkpolicies", "-n", "argo", "-o", "name").split()[0]
    given.kubectl("delete", "-n", "argo", policy)
    found = given.data("status", "--drift", code=11)
    drift = {one["object"]["name"]: one for one in found["drift"]}
    assert set(drift) == {EVENTS, policy.partition("/")[2]}
    (field,) = drift[EVENTS]["fields"]
    assert (field["path"], field["installed"], field["now"]) == ("spec.replicas", "1", "3")
    assert field["manager"] == "kubectl"
    assert drift[policy.partition("/")[2]]["missing"]
    assert found["unknown"] == []
    revisions = given.helm("list", "-A", "-o", "json")
    given.data("status", "--repair", "--yes")
    given.data("status", "--drift")
    assert given.helm("list", "-A", "-o", "json") == revisions


# From the moment that the lock is held. What is over by then has nothing left to do.
DELAYS_S = (0.0, 0.4, 0.8, 1.2, 1.8, 2.6)


def killed_after(lab: Lab, delay_s: float, *arguments: str, group: bool) -> None:
    """Run a command, and kill it some time after it took the lock, unless it came to its end."""
    run = Run(lab, *arguments)
    run.until(held())
    time.sleep(delay_s)
    if run.process.poll() is None:
        run.kill(group=group)
        no_child_is_left(lab)
    else:
        assert run.end() == 0, run.text


def test_an_upgrade_and_its_way_back_may_be_killed_at_any_moment(given: Lab) -> None:
    before = settled(given.cluster())
    newer = bumped(given)
    config = given.folder / "more.yaml"
    config.write_text("components: {argo-events: {values: {controller: {replicas: 2}}}}\n")
    upgrade = ("upgrade", "--yes", "--charts", str(newer), "--config", str(config))
    for number, delay_s in enumerate(DELAYS_S):
        killed_after(given, delay_s, *upgrade, group=bool(number % 2))
    given.data(*upgrade)
    assert chart_of(given, CHART) == f"{CHART}-{NEW}"
    after = settled(given.cluster())
    assert given.data("history")["runs"][0]["outcome"] == "done"
    back = ("rollback", "--yes", "--to", "1")
    for number, delay_s in enumerate(DELAYS_S):
        killed_after(given, delay_s, *back, group=bool(number % 2))
    given.data(*back)
    assert_back(given, before)
    given.data("upgrade", "--yes", "--charts", str(newer), "--config", str(config))
    assert_back(given, after)
