"""Before a cluster is made everything that may be wrong is told, each with its fix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cto.adapters.docker.container import Daemon
from cto.adapters.docker.host import DockerLocation
from cto.adapters.kind import checks
from cto.adapters.kind.config import Ranges
from cto.ports import NodeOptions
from cto.result import CheckStatus

GIB = 1 << 30
DAEMON = Daemon(
    endpoint="unix:///var/run/docker.sock",
    version="26.1.5+dfsg1",
    host="laptop",
    cpus=8,
    memory=16 * GIB,
    root="/var/lib/docker",
    cgroup_version=2,
)
OPTIONS = NodeOptions(nodes=1, profile="minimal", cpu=4, memory_gib=8, disk_gib=20)
PASSED, FAILED, WARNING, SKIPPED = (
    CheckStatus.PASSED,
    CheckStatus.FAILED,
    CheckStatus.WARNING,
    CheckStatus.SKIPPED,
)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({}, PASSED, ""),
        ({"version": "20.10.24"}, PASSED, ""),
        ({"version": "20.9.1"}, FAILED, "CTO-1422"),
        ({"version": "unknown"}, FAILED, "CTO-1422"),
        ({"product": "Podman"}, FAILED, "CTO-1423"),
        ({"os_type": "windows"}, FAILED, "CTO-1423"),
        ({"rootless": True}, WARNING, ""),
        ({"rootless": True, "cgroup_version": 1}, FAILED, "CTO-1423"),
    ],
)
def test_docker(changes: dict[str, object], status: CheckStatus, code: str) -> None:
    check = checks.docker_check(replace(DAEMON, **changes))  # type: ignore[arg-type] # its fields
    assert (check.status, check.code) == (status, code)
    assert bool(check.fix) == (status is not PASSED)


@pytest.mark.parametrize("location", DockerLocation)
def test_its_place(location: DockerLocation) -> None:
    check = checks.place_check(location, DAEMON)
    refused = location in (DockerLocation.REMOTE, DockerLocation.NESTED)
    assert check.status is (FAILED if refused else PASSED)
    assert check.code == ("CTO-1423" if refused else "")


@pytest.mark.parametrize(
    ("cpus", "memory_gib", "status"),
    [(4, 8, PASSED), (4, 7.6, PASSED), (2, 8, WARNING), (4, 6, WARNING), (4, 3.9, FAILED)],
)
def test_room(cpus: int, memory_gib: float, status: CheckStatus) -> None:
    daemon = replace(DAEMON, cpus=cpus, memory=int(memory_gib * GIB))
    assert checks.room_check(daemon, OPTIONS).status is status


@pytest.mark.parametrize(
    ("free_gib", "there", "status"),
    [
        (50, False, PASSED),
        (10, False, WARNING),
        (2.9, False, FAILED),
        (2.9, True, PASSED),
        (0.5, True, FAILED),
        (None, False, SKIPPED),
    ],
)
def test_disk(free_gib: float | None, *, there: bool, status: CheckStatus) -> None:
    free = None if free_gib is None else int(free_gib * GIB)
    check = checks.disk_check(free, DAEMON, OPTIONS, there=there)
    assert check.status is status
    assert (status is SKIPPED) == ("not measured" in check.message)


@pytest.mark.parametrize(
    ("cgroup", "version", "status"),
    [
        (2, "v1.36.0", PASSED),
        (1, "v1.34.4", PASSED),
        (1, "v1.35.0", WARNING),
        (0, "v1.35.0", SKIPPED),
    ],
)
def test_control_groups(cgroup: int, version: str, status: CheckStatus) -> None:
    check = checks.cgroup_check(replace(DAEMON, cgroup_version=cgroup), version)
    assert check.status is status


@pytest.mark.parametrize(
    ("limits", "nodes", "status"),
    [
        ((8192, 524288), 3, PASSED),
        ((128, 8192), 1, PASSED),
        ((256, 8192), 3, WARNING),
        ((128, 8192), 3, FAILED),
        (None, 1, SKIPPED),
    ],
)
def test_inotify(limits: tuple[int, int] | None, nodes: int, status: CheckStatus) -> None:
    check = checks.inotify_check(limits, nodes)
    assert check.status is status
    assert ("sysctl" in check.fix) == (status in (WARNING, FAILED))


def test_ports_that_moved_are_told() -> None:
    wanted = {30080: 8080, 30300: 3000}
    assert checks.ports_check(wanted, wanted).status is PASSED
    moved = checks.ports_check(wanted, {30080: 8081, 30300: 3000})
    assert moved.status is WARNING
    assert moved.items == ("8080 is taken: 8081 is used instead",)


def test_ranges() -> None:
    assert checks.ranges_check(Ranges("10.244.0.0/16", "10.96.0.0/16"), ()).status is PASSED
    none = checks.ranges_check(None, ("10.0.0.0/8",))
    assert (none.status, none.items) == (FAILED, ("10.0.0.0/8",))


def test_a_foreign_cluster_is_named_with_three_ways_out() -> None:
    check = checks.foreign_check("cto", ["cto-control-plane"], "cto-kind-cto")
    assert (check.status, check.code) == (FAILED, "CTO-1424")
    assert check.fix.count("\n") == 2
