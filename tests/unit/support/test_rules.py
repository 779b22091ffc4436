"""The table of rules: what each takes for a sign of its cause, and what not."""

from __future__ import annotations

from typing import Any

import pytest

from cto.engine.waitlimits import ROWS
from cto.errors import KINDS
from cto.support import facts
from cto.support.diagnosis import diagnosed
from cto.support.rules import RULES

ERROR = {"code": "CTO-1601", "status": 0, "message": "no answer", "text": "no answer", "fix": "f"}
DOCKER = {"expected": True, "there": True, "answers": True, "free_bytes": 50 << 30, "root": "/d"}
FOLDER = {"what": "cache", "path": "/c", "free_bytes": 9 << 30, "free_inodes": None, "refused": ""}
RUN = {"number": 2, "command": "upgrade", "started": "2030", "host": "h", "last": True}
LOCK: dict[str, Any] = {
    "held": True,
    "lives": "true",
    "expired": False,
    "holder": "Process 1",
    "renewed": "2030",
}
NODE: dict[str, Any] = {
    "name": "one",
    "ready": "True",
    "pressure": "",
    "silent_since": "",
    "why": "w",
}
NODE |= {"unschedulable": False}
SPACE = {"name": "x", "phase": "Terminating", "code": "CTO-1709", "held": "finalizer y"}
CHECK = {"title": "T", "message": "m", "status": "failed", "code": "CTO-1900", "fix": "f"}


def api(**error: Any) -> dict[str, Any]:
    return {facts.API: {"answers": False, "error": {**ERROR, **error}}}


def skew(seconds: float) -> dict[str, Any]:
    times = {"server_time": "2030-01-02", "local_time": "2030-01-01"}
    return {facts.API: {"answers": True, "skew_s": seconds, **times}}


def docker(**given: Any) -> dict[str, Any]:
    return {facts.DOCKER: {**DOCKER, **given}}


def host(**given: Any) -> dict[str, Any]:
    return {facts.HOST: {"folders": [{**FOLDER, **given}]}}


def run(**given: Any) -> dict[str, Any]:
    return {facts.HISTORY: {"runs": [{**RUN, "lives": "false", "outcome": "done", **given}]}}


def lock(**given: Any) -> dict[str, Any]:
    return {facts.LOCK: {**LOCK, **given}}


def node(**given: Any) -> dict[str, Any]:
    return {facts.NODES: {"nodes": [NODE, {**NODE, "name": "two", **given}]}}


def space(**given: Any) -> dict[str, Any]:
    return {facts.NAMESPACES: {"namespaces": [{**SPACE, **given}]}}


def cause(row: str, message: str = "m", details: str = "") -> dict[str, Any]:
    code = next(one.code for one in ROWS if one.name == row)
    told = {"code": code, "row": row, "where": "Pod x in y", "message": message}
    return {
        facts.UNREADY: {
            "objects": [{"state": "failed", "causes": [{**told, "text": f"{message}\n{details}"}]}]
        }
    }


def gone(state: str) -> dict[str, Any]:
    return {facts.UNREADY: {"objects": [{"where": "Service x in y", "state": state, "causes": []}]}}


DOWN = {"code": "CTO-1420", "message": "no Docker answers", "fix": "start it"}
OTHER = cause("scale-up")
# rule -> code, facts that point to it, facts that do not
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "docker-down": (
        "CTO-1420",
        docker(answers=False, error=DOWN),
        docker(answers=False, error=DOWN, expected=False),
    ),
    "docker-gone": (
        "CTO-1420",
        docker(there=False, answers=False),
        docker(there=False, answers=False, expected=False),
    ),
    "docker-disk": ("CTO-1523", docker(free_bytes=5 << 20), docker(free_bytes=None)),
    "registry-gone": (
        "CTO-1530",
        docker(gone=[{"node": "n", "registry": "r", "state": "exited"}]),
        docker(gone=[]),
    ),
    "disk-full": ("CTO-1485", host(free_bytes=0), host()),
    "inodes-out": ("CTO-1485", host(free_inodes=3), host(free_inodes=None)),
    "folder-refused": ("CTO-1485", host(refused="Read-only file system"), host()),
    "api-certificate": ("CTO-1601", api(text="certificate has expired"), api()),
    "api-silent": ("CTO-1601", api(), api(text="no answer\nx509: unknown authority")),
    "credentials": ("CTO-1602", api(code="CTO-1602", status=401), api(code="CTO-1602", status=403)),
    "forbidden": ("CTO-1602", api(code="CTO-1602", status=403), api(code="CTO-1602", status=401)),
    "api-error": ("CTO-1403", api(code="CTO-1403"), api()),
    "clock-skew": ("CTO-1952", skew(3600.0), skew(2.0)),
    "lock-of-dead-run": ("CTO-2000", lock(lives="false"), lock(lives="false", held=False)),
    "lock-not-renewed": ("CTO-2000", lock(lives="unknown", expired=True), lock(lives="unknown")),
    "run-killed": ("CTO-1950", run(outcome="running"), run(outcome="running", lives="true")),
    "run-interrupted": ("CTO-1950", run(outcome="interrupted"), run()),
    "run-failed": (
        "CTO-1471",
        run(outcome="failed", error="CTO-1471: refused", error_code="CTO-1471"),
        run(outcome="failed", error="CTO-1471: refused", error_code="CTO-1471", last=False),
    ),
    "node-not-ready": ("CTO-1951", node(ready="Unknown"), node()),
    "node-silent": ("CTO-1951", node(silent_since="2030"), node()),
    "node-pressure": ("CTO-1951", node(pressure="DiskPressure"), node()),
    "node-cordoned": ("CTO-1951", node(unschedulable=True), node()),
    "namespace-stuck": ("CTO-1709", space(), space(phase="Active", held="")),
    "webhook-silent": (
        "CTO-1475",
        {facts.WEBHOOKS: {"silent": [{"configuration": "c", "webhook": "w", "reason": "r"}]}},
        {facts.WEBHOOKS: {"silent": []}},
    ),
    "api-service": (
        "CTO-1953",
        {facts.API_SERVICES: {"unavailable": [{"name": "v1beta1.metrics.k8s.io", "reason": "r"}]}},
        {facts.API_SERVICES: {"unavailable": []}},
    ),
    "object-missing": ("CTO-1900", gone("missing"), gone("progressing")),
    "health": (
        "CTO-1900",
        {facts.HEALTH: {"checks": [CHECK]}},
        {facts.HEALTH: {"checks": [{**CHECK, "status": "warning"}]}},
    ),
    "image-bundle": ("CTO-1712", cause("image-bundle"), cause("image-missing")),
    "image-denied": ("CTO-1701", cause("image-denied"), cause("image-network")),
    "image-missing": ("CTO-1701", cause("image-missing"), cause("image-bundle")),
    "image-network": ("CTO-1701", cause("image-network"), cause("image-denied")),
    "image": ("CTO-1701", cause("image"), cause("image-missing")),
    "memory": ("CTO-1702", cause("memory"), cause("crash")),
    "crash": ("CTO-1702", cause("crash"), cause("memory")),
    "start": ("CTO-1702", cause("start"), cause("crash")),
    "no-cpu": (
        "CTO-1703",
        cause("unschedulable", "0/1 nodes: 1 Insufficient cpu"),
        cause("unschedulable", "0/1 nodes: 1 Insufficient memory"),
    ),
    "no-memory": (
        "CTO-1703",
        cause("unschedulable", "cut…", "0/1 nodes: 1 Insufficient memory"),
        cause("unschedulable", "0/1 nodes: 1 Insufficient cpu"),
    ),
    "taint": (
        "CTO-1703",
        cause("unschedulable", "1 node(s) had untolerated taint {a: b}"),
        cause("unschedulable", "1 Insufficient cpu"),
    ),
    "volume": (
        "CTO-1703",
        cause("unschedulable", "1 node(s) had volume node affinity conflict"),
        cause("unschedulable", "1 Insufficient cpu"),
    ),
    "unschedulable": (
        "CTO-1703",
        cause("unschedulable", "1 node(s) didn't match Pod's node affinity/selector"),
        cause("unschedulable", "1 Insufficient cpu"),
    ),
    "claim-class": ("CTO-1705", cause("claim-class"), cause("claim")),
    "claim-provider": ("CTO-1705", cause("claim-provider"), cause("claim")),
    "quota": ("CTO-1707", cause("quota"), cause("admission")),
    "admission": ("CTO-1708", cause("admission"), cause("quota")),
    "webhook": ("CTO-1475", cause("webhook"), cause("admission")),
    "config-missing": ("CTO-1710", cause("config-missing"), OTHER),
    "definition": ("CTO-1706", cause("definition"), OTHER),
    "finalizer": ("CTO-1709", cause("finalizer"), cause("namespace-kinds")),
    "namespace-kinds": ("CTO-1780", cause("namespace-kinds"), cause("finalizer")),
    "control-plane": ("CTO-1713", cause("control-plane"), cause("unattended")),
    "unattended": ("CTO-1713", cause("unattended"), cause("control-plane")),
    "job-failed": ("CTO-1704", cause("job-failed"), cause("attempt")),
    "mount": ("CTO-1705", cause("mount"), cause("claim")),
    "sandbox": ("CTO-1700", cause("sandbox"), cause("create")),
    "create": ("CTO-1700", cause("create"), cause("sandbox")),
    "probe": ("CTO-1711", cause("probe"), OTHER),
    "failed": ("CTO-1700", cause("failed"), cause("job-failed")),
    "nodes": (
        "CTO-1703",
        cause("nodes", "no nodes available"),
        cause("nodes", "untolerated taint {node.kubernetes.io/not-ready: }"),
    ),
    "attempt": ("CTO-1704", cause("attempt"), cause("job-failed")),
    "scale-up": ("CTO-1703", OTHER, cause("unschedulable")),
    "claim": ("CTO-1705", cause("claim"), cause("claim-class")),
}


def test_every_rule_has_its_cases_and_a_code_of_the_table() -> None:
    assert [rule.name for rule in RULES] == list(dict.fromkeys(rule.name for rule in RULES))
    assert set(CASES) == {rule.name for rule in RULES}
    assert [rule.name for rule in RULES if rule.code not in KINDS and "{" not in rule.code] == []


@pytest.mark.parametrize("name", CASES)
def test_a_rule_sees_what_it_is_about(name: str) -> None:
    code, files, _ = CASES[name]
    found = {one.rule: one for one in diagnosed(files)}
    assert found[name].code == code
    (line,) = found[name].evidence
    assert line
    assert "{" not in line.replace("{a: b}", "")
    assert found[name].fix
    assert "{" not in found[name].fix


@pytest.mark.parametrize("name", CASES)
def test_a_rule_sees_nothing_else(name: str) -> None:
    assert name not in {one.rule for one in diagnosed(CASES[name][2])}


@pytest.mark.parametrize("row", [row.name for row in ROWS])
def test_every_cause_of_waiting_is_known(row: str) -> None:
    assert diagnosed(cause(row)) != []


def test_the_most_likely_comes_first_and_like_signs_are_one_cause() -> None:
    files = {
        **node(ready="False"),
        facts.UNREADY: {
            "objects": [
                {"state": "failed", "causes": [one]}
                for one in (
                    {"row": "probe", "where": "a", "message": "1", "text": "1"},
                    {"row": "probe", "where": "b", "message": "2", "text": "2"},
                    {"row": "probe", "where": "b", "message": "2", "text": "2"},
                )
            ]
        },
    }
    first, second = diagnosed(files)
    assert first.rule == "node-not-ready"
    assert second.evidence == ("a: 1", "b: 2")


@pytest.mark.parametrize("data", [None, [], "x", 3, {"nodes": None}, {"nodes": [None, "x", [3]]}])
def test_files_that_somebody_changed_are_no_reason_to_fail(data: Any) -> None:
    assert diagnosed(dict.fromkeys(facts.TITLES, data)) == []


def test_a_code_that_this_version_does_not_know_is_told_in_the_evidence() -> None:
    (found,) = diagnosed(run(outcome="failed", error="CTO-9999: new", error_code="CTO-9999"))
    assert found.code == "CTO-1900"
    assert "CTO-9999: new" in found.evidence[0]
