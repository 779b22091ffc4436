"""Install, again, change, upgrade, drift, uninstall: each profile, on a real API server."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cto.objects import ObjectRef
from cto.plan import labels

from .conftest import ROOT, Lab

COMPONENTS = {"minimal": 4, "standard": 10, "production": 11}
EVENTS = ObjectRef("apps/v1", "Deployment", "argo-events", "argo-events-controller-manager")


def revisions(lab: Lab) -> dict[str, str]:
    return {
        item["name"]: item["revision"] for item in json.loads(lab.helm("list", "-A", "-o", "json"))
    }


def with_another_version(lab: Lab, name: str, old: str, new: str) -> Path:
    """Return a folder with all charts, one of them in another version."""
    folder = lab.folder / f"charts-{new}"
    shutil.copytree(lab.charts, folder, dirs_exist_ok=True)
    (folder / f"{name}-{old}.tgz").unlink()
    pack = [sys.executable, str(ROOT / "tests/lab/charts/pack.py"), "--out", str(folder)]
    subprocess.run([*pack, "--bump", f"{name}={new}"], check=True, capture_output=True)
    return folder


def replicas(lab: Lab, count: int) -> Path:
    """Return a configuration with so many controllers of Argo Events."""
    config = lab.folder / "cto.yaml"
    values = {"controller": {"replicas": count}}
    config.write_text(json.dumps({"components": {"argo-events": {"values": values}}}))
    return config


@pytest.mark.parametrize("profile", list(COMPONENTS))
def test_a_profile_lives_from_installation_to_removal(fresh: Lab, profile: str) -> None:
    """Every step ends as it should, and nothing is left behind in the end."""
    done = fresh.install(profile)
    assert len(done["components"]) == COMPONENTS[profile]
    assert {check["status"] for check in done["checks"]} <= {"passed", "skipped"}
    first = revisions(fresh)
    assert set(first.values()) == {"1"}

    again = fresh.install(profile)
    assert again["changes"] == []
    assert revisions(fresh) == first

    newer = with_another_version(fresh, "argo-workflows", "1.0.18", "1.0.19")
    # Two is what production has.
    config = replicas(fresh, 3)
    upgraded = fresh.install(profile, "--config", str(config), "--charts", str(newer))
    assert {*upgraded["changes"]} - {"crds:argo-workflows"} == {
        "release:argo-events",
        "release:argo-workflows",
    }
    assert revisions(fresh) == {**first, "argo-events": "2", "argo-workflows": "2"}

    status = fresh.data("status")
    assert [row["release"] for row in status["components"]] == ["deployed"] * COMPONENTS[profile]

    fresh.run("uninstall", "--yes", "--delete-data", "--delete-crds")
    left = fresh.cluster().list_metadata("v1", "Namespace")
    assert {item["metadata"]["name"] for item in left} == {
        "default",
        "kube-node-lease",
        "kube-public",
        "kube-system",
    }
    crds = fresh.cluster().list_metadata("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert {item["metadata"]["name"].partition(".")[2] for item in crds} == {"kwok.x-k8s.io"}
    fresh.run("status", code=9)


def test_changes_touch_what_they_change_and_nothing_else(fresh: Lab) -> None:
    """A value, a chart's version, a deleted object, a scaled workload."""
    fresh.install()
    before = revisions(fresh)

    config = replicas(fresh, 2)
    changed = fresh.install("minimal", "--config", str(config))
    assert changed["changes"] == ["release:argo-events"]
    assert revisions(fresh) == {**before, "argo-events": "2"}

    newer = with_another_version(fresh, "argo-workflows", "1.0.18", "1.0.19")
    plan = fresh.data(
        "plan", "install", "--provider", "kwok", "--config", str(config), "--charts", str(newer)
    )
    reasons = {s["id"]: s["reason"] for s in plan["steps"] if s["action"] == "update"}
    assert reasons["release:argo-workflows"] == "argo-workflows-1.0.18 -> argo-workflows-1.0.19"
    upgraded = fresh.install("minimal", "--config", str(config), "--charts", str(newer))
    assert set(upgraded["changes"]) <= {"release:argo-workflows", "crds:argo-workflows"}
    assert revisions(fresh)["argo-workflows"] == "2"

    cluster = fresh.cluster()
    gone = ObjectRef("apps/v1", "Deployment", "cto", "controller")
    cluster.delete(gone)
    assert fresh.data("status", code=9)["checks"][1]["status"] == "failed"
    repaired = fresh.install("minimal", "--config", str(config), "--charts", str(newer))
    assert repaired["changes"] == ["release:controller"]
    assert cluster.get(gone) is not None

    # Somebody else's field then, which a plain upgrade would refuse to touch.
    fresh.kubectl(
        "scale", "--replicas=5", f"--namespace={EVENTS.namespace}", f"deploy/{EVENTS.name}"
    )
    config = replicas(fresh, 3)
    changed = fresh.install("minimal", "--config", str(config), "--charts", str(newer))
    assert changed["changes"] == ["release:argo-events"]
    assert (cluster.get(EVENTS) or {})["spec"]["replicas"] == 3


def test_uninstall_keeps_data_and_a_new_installation_finds_it_again(fresh: Lab) -> None:
    fresh.install("standard")
    cluster = fresh.cluster()
    admin = ObjectRef("v1", "Secret", "monitoring", "grafana-admin")
    dashboards = ObjectRef("v1", "PersistentVolumeClaim", "monitoring", "grafana")
    secret, claim = cluster.get(admin), cluster.get(dashboards)
    assert secret is not None
    assert claim is not None
    kept = fresh.data("uninstall", "--yes")["kept"]
    assert any("grafana-admin" in item["reason"] for item in kept)
    assert (cluster.get(dashboards) or {})["metadata"]["uid"] == claim["metadata"]["uid"]
    assert cluster.get(ObjectRef("v1", "Namespace", "", "argo")) is None
    fresh.install("standard")
    assert (cluster.get(admin) or {})["data"] == secret["data"]
    assert (cluster.get(dashboards) or {})["metadata"]["uid"] == claim["metadata"]["uid"]


def test_users_objects_keep_the_component_that_serves_them(fresh: Lab) -> None:
    fresh.install()
    theirs = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "mine", "namespace": "default"},
        "spec": {},
    }
    cluster = fresh.cluster()
    cluster.apply(theirs)
    kept = fresh.data("uninstall", "--yes")["kept"]
    assert any("AppProject mine in default" in item["reason"] for item in kept)
    assert cluster.get(ObjectRef("apps/v1", "Deployment", "argocd", "argocd-server")) is not None
    assert cluster.get(ObjectRef("v1", "Namespace", "", "cto")) is None
    cluster.delete(ObjectRef("argoproj.io/v1alpha1", "AppProject", "default", "mine"))


def test_a_switched_off_feature_stays_until_it_is_removed_by_name(fresh: Lab) -> None:
    config = fresh.folder / "databases.yaml"
    # Clusters of CloudNativePG have a webhook, and nobody answers it here.
    made = "{redis: [{name: cache, replicas: 3}]}"
    config.write_text(f"features: {{databases: true}}\ndatabases: {made}\n")
    fresh.install("minimal", "--config", str(config))
    assert fresh.install("minimal", "--config", str(config))["changes"] == []
    less = fresh.install()
    assert any("redis-operator is installed and no longer wanted" in w for w in less["warnings"])
    one = ("uninstall", "--yes", "--component", "redis-operator")
    redis = ObjectRef(
        "redis.redis.opstreelabs.in/v1beta2", "RedisReplication", "databases", "cache"
    )
    password = ObjectRef("v1", "Secret", "databases", "cache-redis")
    assert str(redis) in fresh.data(*one)["kept"][0]["reason"]
    assert fresh.cluster().get(redis)
    assert fresh.cluster().get(password)
    fresh.run(*one, "--delete-data")
    assert "redis-operator" not in revisions(fresh)
    assert fresh.cluster().get(redis) is None
    assert fresh.cluster().get(password) is None
    assert "postgresql-operator" in str(fresh.data("status")["components"])


def test_the_records_in_the_cluster_are_readable_by_helm_and_labelled(fresh: Lab) -> None:
    """Users can leave us at any time."""
    fresh.install()
    listed = json.loads(fresh.helm("list", "-A", "-o", "json"))
    assert {item["status"] for item in listed} == {"deployed"}
    found = fresh.cluster().list_metadata(
        "v1", "Secret", labels=f"owner=helm,{labels.MANAGED}=true"
    )
    assert len(found) == len(listed)


def kept_data(lab: Lab) -> dict[str, object]:
    """Return what must outlive a change of the profile: claims, runs, and what Secrets hold."""
    cluster = lab.cluster()
    claims = cluster.list("v1", "PersistentVolumeClaim")
    runs = cluster.list("agents.platform/v1", "CodeRun")
    found: dict[str, object] = {
        f"{item['kind']} {item['metadata']['name']}": item["metadata"]["uid"]
        for item in (*claims, *runs)
    }
    for item in cluster.list("v1", "Secret", labels=f"{labels.MANAGED}=true"):
        if item["type"] != "helm.sh/release.v1":
            found[f"Secret {item['metadata']['name']}"] = item["data"]
    return found


# Five installations, three of them large.
@pytest.mark.slow
def test_a_living_platform_grows_and_shrinks_again(fresh: Lab) -> None:
    """Each plan says what its step does, and what held data before holds the same afterwards."""
    fresh.install("minimal")
    run = {
        "apiVersion": "agents.platform/v1",
        "kind": "CodeRun",
        "metadata": {"name": "work", "namespace": "cto"},
        "spec": {
            "repositoryUrl": "https://github.com/acme/shop",
            "githubApp": "rex",
            "prompt": "x",
        },
    }
    fresh.cluster().apply(run)
    # The node is one of profile minimal's.
    room = ("--skip-preflight", "room")
    warnings: list[str] = []
    for profile in ("standard", "production", "standard", "minimal"):
        before = kept_data(fresh)
        assert before
        plan = fresh.data("plan", "install", "--provider=kwok", "--profile", profile, *room)
        done = fresh.install(profile, *room)
        planned = {step["id"] for step in plan["steps"] if step["action"] != "none"}
        assert set(done["changes"]) <= planned, profile
        assert {one for one in planned if one.startswith("release:")} <= set(done["changes"])
        after = kept_data(fresh)
        assert {name: after.get(name) for name in before} == before, profile
        assert {check["status"] for check in done["checks"]} <= {"passed", "skipped"}
        warnings = done["warnings"]
        assert fresh.install(profile, *room)["changes"] == []
        rows = fresh.data("status")["components"]
        assert {row["release"] for row in rows} == {"deployed"}
    assert any("no longer wanted" in warning for warning in warnings)
