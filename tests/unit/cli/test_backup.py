"""`cto backup` and `cto restore`: what they make and tell. Velero is played by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.engine.backups import API, NAMESPACE, SCHEDULE
from cto.objects import Manifest, ObjectRef, ref_of
from fakes.desk import Desk, node
from fakes.handclock import HandClock

LOCATION = ObjectRef(API, "BackupStorageLocation", NAMESPACE, "default")
TEMPLATE = {"ttl": "720h0m0s", "includedNamespaces": ["cto"]}


class Velero(HandClock):
    """Says the next thing of what has not ended, whenever somebody waits."""

    def __init__(self, desk: Desk, *statuses: Mapping[str, Any]) -> None:
        super().__init__()
        self._desk = desk
        self._statuses = [*statuses]

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if self._statuses:
            status = self._statuses.pop(0)
            for kind in ("Backup", "Restore"):
                for item in self._desk.cluster.list(API, kind, namespace=NAMESPACE):
                    if (item.get("status") or {}).get("phase") not in {"Completed", "Failed"}:
                        self._desk.cluster.set_status(ref_of(item), status)
        self.advance(timeout_s)
        return super().wait(flag, 0)


def crd(kind: str, plural: str) -> Manifest:
    version = {"name": "v1", "served": True, "storage": True, "schema": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.velero.io"},
        "spec": {
            "group": "velero.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


def custom(ref: ObjectRef, **fields: Any) -> Manifest:
    metadata = {"name": ref.name, "namespace": ref.namespace}
    return {"apiVersion": API, "kind": ref.kind, "metadata": metadata, **fields}


@pytest.fixture
def platform(tmp_path: Path) -> Desk:
    """A desk whose cluster has Velero, with a place for backups."""
    desk = Desk(tmp_path)
    kinds = ("Backup", "Restore", "Schedule", "BackupStorageLocation")
    for kind in kinds:
        desk.cluster.add(crd(kind, f"{kind.lower()}s"))
    desk.cluster.add(custom(SCHEDULE, spec={"schedule": "@daily", "template": TEMPLATE}))
    desk.cluster.add(custom(LOCATION, spec={}, status={"phase": "Available"}))
    return desk


def made(desk: Desk, kind: str) -> list[Manifest]:
    return [*desk.cluster.list(API, kind, namespace=NAMESPACE)]


def backed_up(desk: Desk, phase: str = "Completed") -> str:
    ref = ObjectRef(API, "Backup", NAMESPACE, "manual-1")
    desk.cluster.add(custom(ref, spec={}, status={"phase": phase}))
    return ref.name


def test_a_backup_is_what_the_schedule_backs_up_and_is_waited_for(platform: Desk) -> None:
    phases = ("New", "InProgress", "InProgress", "Completed")
    platform.clock = Velero(platform, *({"phase": phase} for phase in phases))
    result = platform.cto("backup", "run")
    (backup,) = made(platform, "Backup")
    assert result.exit_code == 0
    assert backup["spec"] == TEMPLATE
    assert backup["metadata"]["labels"] == {"velero.io/schedule-name": "velero-platform"}
    assert result.stdout == f"{backup['metadata']['name']}: Completed\n"
    assert result.stderr.count("InProgress") == 1


def test_a_failure_is_told_with_its_cause_and_ends_with_9(platform: Desk) -> None:
    status = {"phase": "Failed", "failureReason": "no such bucket", "errors": 2}
    platform.clock = Velero(platform, status)
    document = platform.document("backup", "run", code=9)
    assert document["data"]["operation"]["message"] == "no such bucket; errors: 2"
    assert platform.document("backup", "list")["data"]["backups"][0]["phase"] == "Failed"


def test_a_velero_that_never_begins_is_not_waited_for(platform: Desk) -> None:
    platform.clock = Velero(platform)
    result = platform.cto("backup", "run")
    assert result.exit_code == 9
    assert "CTO-1902" in result.stderr
    assert "within 60 s" in result.stderr


def test_nobody_waits_for_velero_on_simulated_nodes(platform: Desk) -> None:
    platform.cluster.add(node("one", simulated=True))
    result = platform.cto("backup", "run")
    assert result.exit_code == 0
    assert "nobody works on it" in result.stderr


@pytest.mark.parametrize("command", [("backup", "run"), ("restore", "manual-1")])
def test_without_a_place_that_can_be_reached_nothing_is_made(
    platform: Desk, command: tuple[str, ...]
) -> None:
    backed_up(platform)
    platform.cluster.set_status(LOCATION, {"phase": "Unavailable", "message": "403 Forbidden"})
    result = platform.cto(*command)
    assert (result.exit_code, "403 Forbidden" in result.stderr) == (9, True)
    platform.cluster.remove(SCHEDULE)
    result = platform.cto(*command)
    assert (result.exit_code, "object_store" in result.stderr) == (9, True)
    assert len(made(platform, "Backup")) == 1
    assert made(platform, "Restore") == []


def test_a_restore_writes_over_what_is_there_and_starts_nothing_anew(platform: Desk) -> None:
    name = backed_up(platform)
    platform.clock = Velero(platform, {"phase": "InProgress"}, {"phase": "Completed"})
    result = platform.cto("restore", name)
    (restore,) = made(platform, "Restore")
    assert result.exit_code == 0
    spec = restore["spec"]
    assert (spec["backupName"], spec["existingResourcePolicy"]) == (name, "update")
    assert {"workflows.argoproj.io", "pods", "deployments.apps"} <= {*spec["excludedResources"]}
    assert spec["excludedNamespaces"] == ["cto-system", "velero"]
    runs = ["coderuns.agents.platform", "docsruns.agents.platform"]
    assert spec["restoreStatus"]["includedResources"] == runs
    assert {*runs}.isdisjoint(spec["excludedResources"])
    assert {"secrets", "configmaps", "persistentvolumeclaims"}.isdisjoint(spec["excludedResources"])


@pytest.mark.parametrize(
    ("phase", "name", "told"),
    [
        ("Completed", "manual-2", "there is no backup 'manual-2'"),
        ("Failed", "manual-1", "backup manual-1 is Failed: there is nothing to restore"),
    ],
)
def test_only_a_backup_that_is_there_can_be_restored(
    platform: Desk, phase: str, name: str, told: str
) -> None:
    backed_up(platform, phase)
    result = platform.cto("restore", name)
    assert (result.exit_code, told in result.stderr) == (2, True)
    assert made(platform, "Restore") == []


def test_one_that_goes_away_meanwhile_ends_the_wait(platform: Desk) -> None:
    class Deleting(Velero):
        def wait(self, flag: Flag, timeout_s: float) -> bool:
            for item in made(platform, "Backup"):
                platform.cluster.remove(ref_of(item))
            return super().wait(flag, timeout_s)

    platform.clock = Deleting(platform)
    result = platform.cto("backup", "run")
    assert (result.exit_code, "was deleted by somebody" in result.stderr) == (2, True)


def test_where_no_backup_is_that_is_said(platform: Desk) -> None:
    assert platform.cto("backup", "list").stdout == "There are no backups.\n"
    backed_up(platform)
    head, line = platform.cto("backup", "list").stdout.splitlines()
    assert head.split() == ["name", "phase", "created", "expires", "message"]
    assert line.split()[:2] == ["manual-1", "Completed"]
