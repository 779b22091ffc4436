"""Steps of pull secrets: there while something pulls with them, gone afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cto.catalog import Catalog
from cto.objects import ObjectRef
from cto.plan import labels
from cto.plan.build import install
from cto.plan.changes import Action
from cto.plan.desired import DesiredComponent, release_digest
from cto.plan.observed import Observed, ReleaseRecord, ReleaseState, State
from cto.plan.pulling import SECRET, PullLogin, step_id
from cto.plan.remove import Options, uninstall
from cto.plan.steps import ApplyRelease, Plan, RemovePullSecret, Step, SupplyPullSecret
from cto.relocation import Relocation
from fakes.components import component, wanted, wanted_component

EMPTY = Observed(kube_version="v1.34.4", context="here")
LOGIN = PullLogin(host="r.example.com", username="puller", secret_path="registry.password")
WEB, API = component("web"), component("api", namespace="web-ns")
OTHER = component("other")
MOVED = Relocation(images={"web:1": "r.example.com/web:1"}, pull_secret=SECRET)
THERE = {
    ObjectRef("v1", "Secret", namespace, SECRET): {labels.MANAGED_BY: labels.OWNER}
    for namespace in ("web-ns", "other-ns")
}
FOREIGN = {ObjectRef("v1", "Secret", "web-ns", SECRET): {"app": "theirs"}}


def item(relocation: Relocation | None = MOVED) -> DesiredComponent:
    return wanted_component(WEB, relocation=relocation)


def steps(plan: Plan, kind: type[Step]) -> list[Step]:
    return [step for step in plan.steps if isinstance(step, kind)]


def test_every_namespace_gets_one_before_anything_is_pulled_there() -> None:
    made = [wanted_component(one) for one in (WEB, API, OTHER)]
    plan = install(wanted(*made, login=LOGIN), EMPTY)
    found = steps(plan, SupplyPullSecret)
    assert [step.id for step in found] == ["pull-secret:web-ns", "pull-secret:other-ns"]
    assert {step.action for step in found} == {Action.CREATE}
    assert found[0].after == ("namespace:web-ns",)
    for step in steps(plan, ApplyRelease):
        assert isinstance(step, ApplyRelease)
        assert step_id(step.release.namespace) in step.after


def test_one_that_is_there_is_looked_at_and_is_no_change() -> None:
    plan = install(wanted(item(), login=LOGIN), replace(EMPTY, present=THERE))
    (found,) = steps(plan, SupplyPullSecret)
    assert found.action is Action.CHECK
    assert found.touches() == (f"Secret {SECRET} in web-ns", "ServiceAccount default in web-ns")


def test_one_that_is_not_needed_any_more_goes_once_nothing_pulls_with_it() -> None:
    plan = install(wanted(item(None)), replace(EMPTY, present=THERE))
    (found,) = steps(plan, RemovePullSecret)
    assert found.after == ("namespace:web-ns", "ready:web")
    assert found.touches()[0] == f"delete Secret {SECRET} in web-ns"
    assert not steps(plan, SupplyPullSecret)


def test_one_that_is_not_ours_stays() -> None:
    assert not steps(install(wanted(item()), replace(EMPTY, present=FOREIGN)), RemovePullSecret)


def test_another_home_of_the_images_is_another_release_and_the_same_one_is_not() -> None:
    plain = release_digest(item(None), "v1.34.4")
    moved = release_digest(item(), "v1.34.4")
    other = release_digest(item(replace(MOVED, images={"web:1": "r.example.com/x/web:1"})), "v1.34")
    assert len({plain, moved, other}) == 3
    assert moved == release_digest(item(Relocation.from_json(MOVED.to_json())), "v1.34.5")


def test_helm_is_told_where_images_come_from() -> None:
    (found,) = steps(install(wanted(item()), EMPTY), ApplyRelease)
    assert isinstance(found, ApplyRelease)
    assert found.release.relocation == MOVED


def removal(*components: str) -> Plan:
    """Plan a removal where `web` and `api` share a namespace, and all three are there."""
    items = (WEB, API, OTHER)
    records = {
        f"{one.namespace}/{one.release}": ReleaseRecord(
            name=one.release,
            namespace=one.namespace,
            revision=1,
            status="deployed",
            labels={labels.MANAGED: "true"},
        )
        for one in items
    }
    releases = {
        one.name: ReleaseState(
            component=one.name, release=one.release, namespace=one.namespace, digest="", chart=""
        )
        for one in items
    }
    state = State(writer="1", provider="existing", profile="minimal", releases=releases)
    observed = replace(EMPTY, records=records, state=state, present=THERE)
    catalog = Catalog(Path("/bundle"), {one.name: one for one in items})
    return uninstall(catalog, observed, Options(components=components))


def test_a_removal_takes_them_away_after_everything_that_pulls_there() -> None:
    found = {step.id: step.after for step in steps(removal(), RemovePullSecret)}
    assert found.keys() == {"pull-secret:web-ns", "pull-secret:other-ns"}
    assert set(found["pull-secret:web-ns"]) == {"uninstall:web", "uninstall:api"}
    assert found["pull-secret:other-ns"] == ("uninstall:other",)


def test_where_something_stays_it_stays() -> None:
    assert [step.id for step in steps(removal("web", "other"), RemovePullSecret)] == [
        "pull-secret:other-ns"
    ]
