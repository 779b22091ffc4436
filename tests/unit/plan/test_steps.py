"""Plans refuse graphs that nobody could carry out; steps say what they touch."""

from __future__ import annotations

from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cto.catalog import Crds, GeneratedSecret
from cto.events import Phase
from cto.objects import ObjectRef
from cto.plan.changes import Action, TakenBack
from cto.plan.steps import (
    ApplyCrds,
    ApplyManifests,
    ApplyRelease,
    DeleteNamespace,
    DeleteObjects,
    DeleteState,
    EnsureNamespace,
    GenerateSecret,
    Note,
    Plan,
    Step,
    SupplySecret,
    UninstallRelease,
)
from cto.ports import ReleaseSpec
from fakes.components import chart, config_map
from fakes.graphs import graphs

SECRET = GeneratedSecret.model_validate({"name": "admin", "keys": {"password": {"random": 16}}})
REF = ObjectRef("v1", "ConfigMap", "web", "old")
SPEC = ReleaseSpec(name="web", namespace="web-ns", chart=chart("web", "1.2.3"), values={})
COMMON: dict[str, Any] = {
    "id": "one",
    "phase": Phase.CORE,
    "title": "Do it",
    "action": Action.CREATE,
}


def note(name: str, *after: str, action: Action = Action.KEEP) -> Note:
    return Note(id=name, phase=Phase.CORE, title=name, action=action, after=after)


def plan(*steps: Step) -> Plan:
    return Plan(command="install", context="here", provider="existing", profile="", steps=steps)


@pytest.mark.parametrize(
    ("step", "touched"),
    [
        (
            EnsureNamespace(**COMMON, manifest={"metadata": {"name": "web"}}),
            ["Namespace web"],
        ),
        (GenerateSecret(**COMMON, namespace="web", secret=SECRET), ["Secret admin in web"]),
        (
            SupplySecret(**COMMON, namespace="web", name="keys", type="Opaque", keys={}),
            ["Secret keys in web"],
        ),
        (
            ApplyCrds(**COMMON, release=SPEC, crds=Crds(source="crds"), digest="d"),
            ["CRDs of web 1.2.3"],
        ),
        (
            ApplyManifests(**COMMON, manifests=(config_map("glue", "web"),), prune=(REF,)),
            ["ConfigMap glue", "delete ConfigMap old in web"],
        ),
        (ApplyRelease(**COMMON, release=SPEC), ["Helm release web in web-ns"]),
        (DeleteObjects(**COMMON, objects=(REF,)), ["delete ConfigMap old in web"]),
        (
            UninstallRelease(**COMMON, release="web", namespace="web-ns"),
            ["delete Helm release web in web-ns"],
        ),
        (DeleteNamespace(**COMMON, namespace="web"), ["delete Namespace web"]),
        (DeleteState(**COMMON), []),
        (Note(**COMMON), []),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Step) else "",
)
def test_a_step_says_what_it_touches(step: Step, touched: list[str]) -> None:
    assert step.to_json()["touches"] == touched


def test_two_steps_with_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match=r"two steps have one id: \['a', 'a'\]"):
        plan(note("a"), note("b"), note("a"))


def test_a_step_that_waits_for_an_unknown_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"steps wait for unknown ones: \['lost'\]"):
        plan(note("a", "lost"))


def test_steps_that_wait_for_each_other_are_refused_and_named() -> None:
    with pytest.raises(ValueError, match="steps wait for each other") as caught:
        plan(note("a", "b"), note("b", "a"))
    assert "'a'" in str(caught.value)
    assert "'b'" in str(caught.value)


def test_only_what_creates_updates_repairs_or_deletes_is_a_change() -> None:
    steps = [note(action.value, action=action) for action in Action]
    assert [step.id for step in plan(*steps).changes] == ["create", "update", "repair", "delete"]


@given(graphs().flatmap(lambda graph: st.permutations(list(graph.items()))))
def test_the_graph_of_a_plan_can_be_walked_whatever_the_order_of_its_steps(
    graph: list[tuple[str, tuple[str, ...]]],
) -> None:
    walked: list[str] = []
    made = plan(*(note(name, *after) for name, after in graph))
    for name in TopologicalSorter(made.graph()).static_order():
        assert set(dict(graph)[name]) <= set(walked)
        walked.append(name)
    assert sorted(walked) == sorted(dict(graph))


@given(graphs(), st.integers(min_value=0))
def test_a_graph_is_refused_as_soon_as_one_of_its_edges_turns_round(
    graph: dict[str, tuple[str, ...]], number: int
) -> None:
    edges = [(name, before) for name, after in graph.items() for before in after]
    assume(edges)
    name, before = edges[number % len(edges)]
    turned = {**graph, before: (*graph[before], name)}
    with pytest.raises(ValueError, match="wait for each other"):
        plan(*(note(step, *after) for step, after in turned.items()))


def test_what_is_taken_back_says_no_time_where_the_api_server_knows_none() -> None:
    ref = ObjectRef("apps/v1", "Deployment", "web", "web")
    taken = TakenBack(ref=ref, field="spec.replicas", manager="kubectl", subresource="scale")
    assert str(taken) == (
        "take back spec.replicas of Deployment web in web (written by kubectl scale)"
    )
    later = replace(taken, time="2029-12-31T23:00:00Z")
    assert str(later).endswith("(written by kubectl scale, 2029-12-31T23:00:00Z)")
