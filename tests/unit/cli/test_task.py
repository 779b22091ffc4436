"""`cto task`: what it makes, tells and takes away. The controller is played by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.engine.tasks import API, ATTEMPT, RUN
from cto.objects import Manifest, ObjectRef, load_yaml
from fakes.desk import Desk, node
from fakes.handclock import HandClock
from fakes.runs import CRDS

REPOSITORY = "https://github.com/acme/shop"
STARTED = ("task", "run", "--agent", "rex", "--repo", REPOSITORY, "-m", "Mend it.")


class Playing(HandClock):
    """Says something of the only task whenever somebody waits."""

    def __init__(self, desk: Desk, *statuses: Mapping[str, Any]) -> None:
        super().__init__()
        self._desk = desk
        self._statuses = [*statuses]

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if self._statuses and (status := self._statuses.pop(0)):
            (task,) = runs(self._desk)
            ref = ObjectRef(API, "CodeRun", "cto", task["metadata"]["name"])
            self._desk.cluster.set_status(ref, status)
        self.advance(timeout_s)
        return super().wait(flag, 0)


@pytest.fixture
def platform(tmp_path: Path) -> Desk:
    """A desk whose cluster has the controller's definitions, and two agents."""
    desk = Desk(tmp_path)
    for path in sorted(CRDS.glob("*.yaml")):
        desk.cluster.add(load_yaml(path.read_text()))
    desk.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cto"}})
    metadata = {"name": "controller-agents", "namespace": "cto"}
    data = {"rex": "cli: echo\n", "tess": "cli: echo\n"}
    desk.cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})
    return desk


def runs(desk: Desk) -> list[Manifest]:
    return [*desk.cluster.list(API, "CodeRun", namespace="cto")]


def test_a_task_is_a_run_of_the_controllers(platform: Desk) -> None:
    result = platform.cto(*STARTED, "--branch", "next", "--cli", "echo")
    (made,) = runs(platform)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == made["metadata"]["name"]
    assert made["metadata"]["name"].startswith("rex-")
    assert made["spec"] == {
        "githubApp": "rex",
        "repositoryUrl": REPOSITORY,
        "prompt": "Mend it.",
        "sourceBranch": "next",
        "cliConfig": {"cliType": "echo"},
    }


def test_a_prompt_comes_from_a_file_or_from_stdin(platform: Desk, tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("From a file: $HOME {{ x }}\n")
    begin = STARTED[:-2]
    platform.cto(*begin, "--prompt", str(tmp_path / "prompt.md"))
    platform.cto(*begin, "--prompt", "-", answer="From stdin\n")
    prompts = {run["spec"]["prompt"] for run in runs(platform)}
    assert prompts == {"From a file: $HOME {{ x }}\n", "From stdin\n"}


@pytest.mark.parametrize("more", [(), ("-m", "a", "--prompt", "-")])
def test_there_is_one_prompt(platform: Desk, more: tuple[str, ...]) -> None:
    result = platform.cto(*STARTED[:-2], *more)
    assert result.exit_code == 2
    assert "Give either --prompt FILE or --message TEXT." in result.stderr


def test_an_agent_that_is_not_there_is_told_with_those_that_are(platform: Desk) -> None:
    result = platform.cto("task", "run", "--agent", "rexx", "--repo", REPOSITORY, "-m", "x")
    assert result.exit_code == 2
    assert "--agent rexx: there is no such agent (there is: rex, tess)" in result.stderr
    assert "Did you mean rex?" in result.stderr
    assert runs(platform) == []


def test_without_a_platform_there_are_no_tasks(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for command in (STARTED, ("task", "list"), ("task", "logs", "x"), ("task", "cancel", "x")):
        result = desk.cto(*command)
        assert result.exit_code == 9, command
        assert "CTO-1901" in result.stderr


def test_whoever_watches_hears_of_each_change_and_gets_the_result(platform: Desk) -> None:
    url = f"{REPOSITORY}/pull/7"
    platform.clock = Playing(
        platform,
        {"phase": "Pending", "message": "waits for room"},
        {"phase": "Pending", "message": "waits for room"},
        {"phase": "Running", "attempts": 1},
        {"phase": "Succeeded", "message": "It is mended.", "pullRequestUrl": url},
    )
    result = platform.cto(*STARTED, "--watch")
    name = runs(platform)[0]["metadata"]["name"]
    assert result.exit_code == 0
    assert result.stdout == f"{name}: succeeded, It is mended.\n{url}\n"
    assert result.stderr.count("pending, waits for room") == 1
    assert f"{name}: running" in result.stderr


def test_a_task_that_failed_ends_with_9(platform: Desk) -> None:
    platform.clock = Playing(platform, {"phase": "Failed", "message": "tests fail"})
    document = platform.document(*STARTED, "--watch", code=9)
    assert document["data"]["task"]["phase"] == "Failed"
    assert document["data"]["task"]["message"] == "tests fail"


def test_nobody_waits_for_a_controller_on_simulated_nodes(platform: Desk) -> None:
    platform.cluster.remove(ObjectRef("v1", "Node", "", "one"))
    platform.cluster.add(node("one", simulated=True))
    result = platform.cto(*STARTED, "--watch")
    assert result.exit_code == 0
    assert "nobody works on it" in result.stderr
    assert len(runs(platform)) == 1


def test_a_controller_that_says_nothing_is_told_once(platform: Desk) -> None:
    nothing: list[Mapping[str, Any]] = [{}] * 30
    platform.clock = Playing(platform, *nothing, {"phase": "Succeeded"})
    result = platform.cto(*STARTED, "--watch")
    assert result.stderr.count("the controller has not taken it yet") == 1


def test_a_task_that_goes_away_meanwhile_ends_the_watch(platform: Desk) -> None:
    class Deleting(Playing):
        def wait(self, flag: Flag, timeout_s: float) -> bool:
            for run in runs(platform):
                platform.cluster.remove(ObjectRef(API, "CodeRun", "cto", run["metadata"]["name"]))
            return super().wait(flag, timeout_s)

    platform.clock = Deleting(platform)
    result = platform.cto(*STARTED, "--watch")
    assert result.exit_code == 2
    assert "there is no task 'rex-" in result.stderr


def test_the_list_has_a_line_for_each(platform: Desk) -> None:
    assert platform.cto("task", "list").stdout == "There are no tasks. Start one: cto task run.\n"
    platform.cto(*STARTED)
    ref = ObjectRef(API, "CodeRun", "cto", runs(platform)[0]["metadata"]["name"])
    platform.cluster.set_status(ref, {"phase": "Running", "attempts": 2, "message": "works"})
    head, line = platform.cto("task", "list").stdout.splitlines()
    assert head.split() == ["name", "agent", "phase", "attempts", "age", "message"]
    assert [line.split()[at] for at in (0, 1, 2, 3, 5)] == [
        ref.name,
        "rex",
        "Running",
        "2",
        "works",
    ]
    (row,) = platform.document("task", "list")["data"]["tasks"]
    assert (row["name"], row["repository"]) == (ref.name, REPOSITORY)


def test_the_log_is_that_of_its_newest_pod(platform: Desk) -> None:
    platform.cto(*STARTED)
    (run,) = runs(platform)
    name = run["metadata"]["name"]
    assert platform.cto("task", "logs", name).stdout == f"{name}: pending: there is no log yet\n"
    for number in (2, 10, 9):
        labels = {RUN: run["metadata"]["uid"], ATTEMPT: str(number)}
        metadata = {"name": f"pod-{number}", "namespace": "cto", "labels": labels}
        platform.cluster.add({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
        text = f"attempt {number}\n"
        platform.cluster.container_logs["cto", f"pod-{number}", "agent", False] = text
    assert platform.cto("task", "logs", name).stdout == "attempt 10\n"


def test_a_cancelled_task_is_gone(platform: Desk) -> None:
    platform.cto(*STARTED)
    name = runs(platform)[0]["metadata"]["name"]
    assert platform.cto("task", "cancel", name).stdout == f"{name} is cancelled\n"
    assert runs(platform) == []


def test_a_name_that_is_not_there_is_guessed(platform: Desk) -> None:
    platform.cto(*STARTED)
    name = runs(platform)[0]["metadata"]["name"]
    result = platform.cto("task", "cancel", name[:-1])
    assert result.exit_code == 2
    assert f"Did you mean {name}?" in result.stderr
    assert len(runs(platform)) == 1
