"""Reports: what failed, what was not begun, and which chain of steps the end waited for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cto.engine.report import Report, StepRun, critical_path
from cto.errors import ToolError
from cto.events import Outcome
from fakes.graphs import graphs


def run(name: str, start: float, end: float, *after: str, **fields: Any) -> StepRun:
    settings = {"title": name.title(), "outcome": Outcome.DONE, **fields}
    return StepRun(id=name, started_s=start, ended_s=end, after=after, **settings)


def test_the_critical_path_goes_back_by_what_ended_last() -> None:
    runs = (
        run("quick", 0, 1),
        run("slow", 0, 5),
        run("last", 5, 9, "quick", "slow"),
        run("aside", 0, 8),
    )
    assert [item.id for item in critical_path(runs)] == ["slow", "last"]


def test_no_steps_have_no_critical_path() -> None:
    assert critical_path(()) == ()


def test_a_step_that_waited_for_one_outside_the_report_begins_the_path() -> None:
    assert [item.id for item in critical_path((run("a", 0, 1, "elsewhere"),))] == ["a"]


@given(graphs(), st.lists(st.integers(1, 100), min_size=8, max_size=8))
def test_without_idle_times_the_critical_path_is_as_long_as_the_run(
    graph: dict[str, tuple[str, ...]], times: list[int]
) -> None:
    """It is a chain in the graph, from a step that waits for nothing to the one that ended last."""
    runs: dict[str, StepRun] = {}
    for (name, after), seconds in zip(graph.items(), times, strict=False):
        start = max((runs[before].ended_s for before in after), default=0.0)
        runs[name] = run(name, start, start + seconds, *after)
    path = critical_path(tuple(runs.values()))
    assert path[0].after == ()
    assert path[-1].ended_s == max(item.ended_s for item in runs.values())
    assert all(one.id in other.after for one, other in pairwise(path))
    assert sum(item.seconds for item in path) == path[-1].ended_s


def test_a_run_begins_with_what_was_done_before_its_plan() -> None:
    """The plan's steps come later by as much, and those without a dependency waited for it."""
    report = Report(
        runs=(run("a", 0, 1), run("b", 1, 5, "a")), seconds=6, not_run=("c",)
    ).preceded_by([run("fetch", 0, 2), run("cluster", 2, 30)], seconds=38)
    assert report.runs == (
        run("fetch", 0, 2),
        run("cluster", 2, 30, "fetch"),
        run("a", 32, 33, "cluster"),
        run("b", 33, 37, "a"),
    )
    assert (report.seconds, report.not_run) == (38, ("c",))
    assert [item.id for item in report.critical_path] == ["fetch", "cluster", "a", "b"]


def test_what_the_plan_found_done_before_it_is_there_once() -> None:
    """Two steps of one id would be a circle, and no end of the critical path."""
    done = run("cluster", 0, 0, outcome=Outcome.UNCHANGED)
    report = Report(runs=(done, run("a", 0, 1, "cluster")), seconds=1)
    whole = report.preceded_by([run("fetch", 0, 2), run("cluster", 2, 30)], seconds=31)
    assert whole.runs == (
        run("fetch", 0, 2),
        run("cluster", 2, 30, "fetch"),
        run("a", 30, 31, "cluster"),
    )
    assert [item.id for item in whole.critical_path] == ["fetch", "cluster", "a"]


def test_a_run_that_began_with_nothing_else_stays_as_it_was() -> None:
    report = Report(runs=(run("a", 0, 1),), seconds=1)
    assert report.preceded_by([], seconds=1) == report


def test_the_report_of_a_failure_as_json() -> None:
    error = ToolError("CTO-1500", "helm ended with code 1")
    report = Report(
        runs=(
            run("a", 0, 1.23456, message="was there already"),
            run("b", 1.23456, 2, "a", outcome=Outcome.FAILED, message="it broke", error=error),
        ),
        seconds=2.00049,
        not_run=("c",),
    )
    assert report.errors == (error,)
    assert report.to_json() == {
        "seconds": 2.0,
        "steps": [
            {
                "id": "a",
                "outcome": "done",
                "started_seconds": 0,
                "seconds": 1.235,
                "message": "was there already",
            },
            {
                "id": "b",
                "outcome": "failed",
                "started_seconds": 1.235,
                "seconds": 0.765,
                "message": "it broke",
                "error": "CTO-1500",
            },
        ],
        "not_run": ["c"],
        "critical_path": ["a", "b"],
    }
