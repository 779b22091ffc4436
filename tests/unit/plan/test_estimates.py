"""How long a plan will take: by the last run where there was one, along the longest way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import Crds
from cto.events import Phase
from cto.plan.build import estimate_s, remaining_s
from cto.plan.changes import Action
from cto.plan.steps import (
    ApplyCrds,
    ApplyRelease,
    DeleteState,
    Note,
    Step,
    UninstallRelease,
    WaitReady,
)
from cto.ports import ReleaseSpec
from fakes.components import chart
from fakes.graphs import graphs

SPEC = ReleaseSpec(name="web", namespace="web", chart=chart("web"), values={})
COMMON: dict[str, Any] = {
    "id": "one",
    "phase": Phase.CORE,
    "title": "Do it",
    "action": Action.CREATE,
}
RELEASE = ApplyRelease(**COMMON, release=SPEC)


def state(name: str, *after: str, component: str = "") -> DeleteState:
    return DeleteState(**{**COMMON, "id": name}, after=after, component=component)


@pytest.mark.parametrize(
    ("longer", "shorter"),
    [
        (WaitReady(**COMMON, namespace="web"), RELEASE),
        (RELEASE, state("one")),
        (ApplyCrds(**COMMON, release=SPEC, crds=Crds(source="crds"), digest=""), state("one")),
        (UninstallRelease(**COMMON, release="web", namespace="web"), state("one")),
    ],
)
def test_a_first_run_goes_by_the_kind_of_step(longer: Step, shorter: Step) -> None:
    assert estimate_s(longer, {}) > estimate_s(shorter, {}) > 0


def test_pods_that_start_in_turn_take_longer() -> None:
    once = WaitReady(**COMMON, namespace="web")
    in_turn = WaitReady(**COMMON, namespace="web", waves=3)
    assert estimate_s(in_turn, {}) == 3 * estimate_s(once, {})


def test_hooks_make_a_release_longer() -> None:
    assert estimate_s(RELEASE, {}, hooks=True) > estimate_s(RELEASE, {})


def test_the_last_run_knows_better() -> None:
    assert estimate_s(RELEASE, {"one": 42.0}, hooks=True) == 42.0


@pytest.mark.parametrize("action", [Action.KEEP, Action.SKIP])
def test_what_is_kept_or_skipped_takes_no_time_whatever_it_once_took(action: Action) -> None:
    step = Note(**{**COMMON, "action": action})
    assert estimate_s(step, {"one": 42.0}) == 0.0


def test_the_hooks_of_a_component_are_part_of_what_remains() -> None:
    steps = [ApplyRelease(**COMMON, release=SPEC, component="web")]
    hooked, plain = remaining_s(steps, {}, frozenset({"web"})), remaining_s(steps, {})
    assert hooked["one"] > plain["one"]


def longest(steps: Mapping[str, DeleteState], last: Mapping[str, float], name: str) -> float:
    """Walk every way from a step to the end."""
    followers = [step.id for step in steps.values() if name in step.after]
    return last[name] + max((longest(steps, last, f) for f in followers), default=0.0)


@given(graphs(), st.lists(st.integers(0, 100), min_size=8, max_size=8))
def test_what_remains_is_the_longest_way_to_the_end(
    graph: dict[str, tuple[str, ...]], times: list[int]
) -> None:
    last = dict(zip(graph, map(float, times), strict=False))
    steps = {name: state(name, *after) for name, after in graph.items()}
    left = remaining_s(list(steps.values()), last)
    assert left == {name: longest(steps, last, name) for name in steps}
    assert all(left[before] >= left[name] for name, after in graph.items() for before in after)
