"""Plans of removals: our own objects first, namespaces last, data only when asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import Catalog, Component, GeneratedKey, GeneratedSecret, Made
from cto.objects import ObjectRef
from cto.plan import labels
from cto.plan.changes import Action
from cto.plan.observed import Claim, Observed, ReleaseRecord, ReleaseState, State
from cto.plan.remove import Options, uninstall
from cto.plan.steps import (
    DeleteNamespace,
    DeleteObjects,
    DeleteState,
    Note,
    Plan,
    Step,
    UninstallRelease,
)
from fakes.components import component
from fakes.graphs import graphs

CRD = "webs.example.com"
SECRET = ObjectRef("v1", "Secret", "web-ns", "web-admin")
GLUE = ObjectRef("v1", "ConfigMap", "web-ns", "glue")
OURS = ObjectRef("example.com/v1", "Web", "web-ns", "default")
OBJECT = ObjectRef("apps/v1", "Deployment", "web-ns", "web")
MINE = {labels.MANAGED_BY: labels.OWNER}
VOLUME = ObjectRef("v1", "PersistentVolumeClaim", "web-ns", "data-web-0")
WEB = component(
    "web",
    crds={"source": "crds"},
    generated_secrets=[{"name": "web-admin", "keys": {"password": {"random": 32}}}],
    supplied_secrets=[{"name": "web-admin", "keys": {"x": "github.webhook_secret"}}],
)
API = component("api", depends_on=["web"])
ALONE = component("alone")
OURS_STILL = {"alone-ns": MINE}
LEFT = Claim(ref=replace(VOLUME, namespace="alone-ns"), release="alone")


def theirs(number: int) -> ObjectRef:
    return ObjectRef("example.com/v1", "Web", "team", f"w{number}")


def catalog(*items: Component) -> Catalog:
    return Catalog(Path("/bundle"), {item.name: item for item in items})


def record(item: Component, **fields: Any) -> ReleaseRecord:
    settings = {"labels": {labels.MANAGED: "true"}, "revision": 1, "status": "deployed", **fields}
    return ReleaseRecord(name=item.release, namespace=item.namespace, **settings)


def release(item: Component, *glue: ObjectRef, objects: tuple[ObjectRef, ...] = ()) -> ReleaseState:
    return ReleaseState(
        component=item.name,
        release=item.release,
        namespace=item.namespace,
        digest="d",
        chart="c",
        objects=objects,
        glue=glue,
    )


def installed(*items: Component) -> Observed:
    """Return what is observed where these components are installed, and nothing else is."""
    glue = {"web": (GLUE, OURS)}
    return Observed(
        kube_version="v1.34.4",
        context="here",
        records={f"{item.namespace}/{item.release}": record(item) for item in items},
        namespaces={item.namespace: MINE for item in items},
        crds={CRD: {labels.COMPONENT: "web"}, "other.example.com": {}},
        present={SECRET: MINE, GLUE: {}, OURS: {}, OBJECT: {}},
        instances={CRD: (OURS,)},
        state=State(
            writer="0.1.0",
            provider="existing",
            profile="minimal",
            releases={
                item.name: release(item, *glue.get(item.name, ()), objects=(OBJECT,))
                for item in items
            },
        ),
    )


def plan_of(observed: Observed, *items: Component, **options: Any) -> Plan:
    return uninstall(catalog(*items), observed, Options(**options))


def ids(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def step(plan: Plan, step_id: str) -> Step:
    return next(step for step in plan.steps if step.id == step_id)


def objects(plan: Plan, step_id: str) -> tuple[ObjectRef, ...]:
    found = step(plan, step_id)
    assert isinstance(found, DeleteObjects)
    return found.objects


def test_where_nothing_is_nothing_goes() -> None:
    plan = plan_of(Observed(kube_version="v1.34.4"), WEB, API)
    assert ids(plan) == ["state"]
    assert (plan.components, plan.provider, plan.profile) == ((), "", "")


def test_our_custom_resources_go_first_then_dependents_then_the_release_and_its_glue() -> None:
    plan = plan_of(installed(WEB, API), WEB, API)
    assert ids(plan) == [
        "custom:web",
        "uninstall:api",
        "uninstall:web",
        "glue:web",
        "data:web",
        "keep-crds:web",
        "namespace:api-ns",
        "namespace:web-ns",
        "state",
    ]
    assert objects(plan, "custom:web") == (OURS,)
    assert objects(plan, "glue:web") == (GLUE,)
    assert step(plan, "uninstall:api").after == ("custom:web",)
    assert step(plan, "uninstall:web").after == ("custom:web", "uninstall:api")
    assert set(step(plan, "state").after) == set(ids(plan)) - {"state"}


def test_data_stays_and_is_named_with_the_way_to_delete_it() -> None:
    observed = replace(installed(WEB), claims=(Claim(ref=VOLUME, release="web"),))
    kept = step(plan_of(observed, WEB), "data:web")
    assert (kept.title, kept.action) == ("Keep the data of Web", Action.KEEP)
    assert kept.reason == (
        "PersistentVolumeClaim data-web-0 in web-ns, Secret web-admin in web-ns; "
        "--delete-data deletes them"
    )


def test_data_goes_when_asked_for_each_object_once() -> None:
    other = replace(VOLUME, name="of-somebody-else")
    claims = (Claim(ref=VOLUME, release="web"), Claim(ref=other, release="theirs"))
    observed = replace(installed(WEB), claims=claims)
    plan = plan_of(observed, WEB, delete_data=True)
    assert objects(plan, "data:web") == (SECRET, VOLUME)
    assert (step(plan, "data:web").reason, step(plan, "glue:web").reason) == (
        "2 objects",
        "1 object",
    )


def test_without_data_nothing_is_said_of_it() -> None:
    observed = replace(installed(WEB), present={GLUE: {}})
    assert "data:web" not in ids(plan_of(observed, WEB))


@pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (5, " and 2 more")])
def test_a_component_that_serves_users_objects_stays_and_names_some(count: int, more: str) -> None:
    users = tuple(theirs(number) for number in range(count))
    observed = replace(installed(WEB, API), instances={CRD: (OURS, *users)})
    plan = plan_of(observed, WEB, API)
    kept = step(plan, "keep:web")
    shown = ", ".join(str(ref) for ref in users[:3])
    assert isinstance(kept, Note)
    assert kept.reason == f"it serves {shown}{more}; --delete-data deletes them"
    # Users' objects need ours: an Application its project, a Sensor its bus.
    assert "custom:web" not in ids(plan)
    assert "uninstall:web" not in ids(plan)
    assert "namespace:web-ns" not in ids(plan)
    assert "uninstall:api" in ids(plan)
    end = step(plan, "state")
    assert isinstance(end, DeleteState)
    assert (end.components, end.everything) == (("api",), False)
    assert (end.title, end.reason) == ("Forget what is gone", "still there: web")


def test_users_objects_go_before_the_programs_that_serve_them_when_data_may_go() -> None:
    observed = replace(installed(WEB), instances={CRD: (OURS, theirs(1))})
    plan = plan_of(observed, WEB, delete_data=True)
    assert set(objects(plan, "custom:web")) == {OURS, theirs(1)}
    assert "custom:web" in step(plan, "uninstall:web").after


def test_our_objects_that_hold_data_stay_with_what_serves_them_and_go_with_their_secrets() -> None:
    each = GeneratedSecret(name="key", keys={"k": GeneratedKey(random=32)}, each=("Web",))
    holding = WEB.model_copy(update={"data": ("Web",), "generated_secrets": (each,)})
    held, secret = replace(OURS, namespace="team"), ObjectRef("v1", "Secret", "team", "default-key")
    observed = installed(holding)
    state = observed.state
    assert state
    observed = replace(
        observed,
        instances={CRD: (held,)},
        namespaces={**observed.namespaces, "team": MINE},
        present={held: {}, secret: MINE},
        state=replace(state, releases={"web": release(holding, held)}),
    )
    kept = plan_of(observed, holding)
    assert step(kept, "keep:web").reason == f"it serves {held}; --delete-data deletes them"
    assert not [item for item in kept.steps if isinstance(item, DeleteObjects)]
    gone = plan_of(observed, holding, delete_data=True)
    assert objects(gone, "custom:web") == (held,)
    assert objects(gone, "data:web") == (secret,)
    assert {"namespace:team", "namespace:web-ns"} <= set(ids(gone))


MADE = ObjectRef("example.com/v1", "Web", "web-ns", "made-by-itself")
PASSWORD = ObjectRef("v1", "Secret", "web-ns", "first-password")
MAKING = WEB.model_copy(
    update={
        "makes": tuple(
            Made(api_version=ref.api_version, kind=ref.kind, name=ref.name)
            for ref in (MADE, PASSWORD)
        )
    }
)


def making() -> Observed:
    """Return what is observed where the program of MAKING made something by itself."""
    observed = installed(MAKING)
    present = {**observed.present, MADE: {}, PASSWORD: {}}
    return replace(observed, present=present, instances={CRD: (OURS, MADE)})


def test_what_a_program_made_by_itself_does_not_keep_it() -> None:
    plan = plan_of(making(), MAKING)
    assert "uninstall:web" in ids(plan)
    assert str(PASSWORD) in step(plan, "data:web").reason


def test_what_a_program_made_by_itself_goes_with_the_data() -> None:
    plan = plan_of(making(), MAKING, delete_data=True, delete_crds=True)
    assert MADE in objects(plan, "custom:web")
    assert PASSWORD in objects(plan, "data:web")
    assert "crds:web" in ids(plan)


def test_what_a_program_made_beside_a_database_goes_with_it() -> None:
    held = ObjectRef("example.com/v1", "Web", "team", "shop")
    beside = ObjectRef("v1", "ConfigMap", "team", "queries")
    made = Made(api_version="v1", kind="ConfigMap", name="queries", beside=("Web",))
    holding = WEB.model_copy(update={"data": ("Web",), "makes": (made,)})
    observed = installed(holding)
    state = observed.state
    assert state is not None
    observed = replace(
        observed,
        instances={CRD: (held,)},
        namespaces={**observed.namespaces, "team": MINE},
        present={held: {}, beside: {}},
        state=replace(state, releases={"web": release(holding, held)}),
    )
    assert beside in objects(plan_of(observed, holding, delete_data=True), "data:web")
    strange = replace(observed, namespaces={**observed.namespaces, "team": {}})
    assert "data:web" not in ids(plan_of(strange, holding, delete_data=True))


def test_a_secret_of_that_name_in_a_namespace_of_somebody_else_is_not_touched() -> None:
    plan = plan_of(replace(making(), namespaces={"web-ns": {}}), MAKING, delete_data=True)
    assert PASSWORD not in objects(plan, "data:web")


def test_what_is_over_keeps_no_program_and_stays_with_its_definition() -> None:
    over, going_on = theirs(1), theirs(2)
    observed = replace(installed(WEB), instances={CRD: (OURS, over)}, ended=frozenset({over}))
    plan = plan_of(observed, WEB, delete_crds=True)
    assert "uninstall:web" in ids(plan)
    assert step(plan, "keep-crds:web").reason == f"{CRD}: there are objects of them"
    observed = replace(observed, instances={CRD: (OURS, over, going_on)})
    assert step(plan_of(observed, WEB), "keep:web").reason.startswith(f"it serves {going_on};")


def test_definitions_stay_unless_asked_for_and_are_named() -> None:
    plan = plan_of(installed(WEB), WEB)
    assert "crds:web" not in ids(plan)
    assert step(plan, "keep-crds:web").reason == (
        f"{CRD}; --delete-crds deletes those that have no instances"
    )


def test_definitions_go_after_their_last_instance() -> None:
    plan = plan_of(installed(WEB), WEB, delete_crds=True)
    assert [ref.name for ref in objects(plan, "crds:web")] == [CRD]
    assert step(plan, "crds:web").after == ("uninstall:web",)


def test_a_component_without_definitions_has_none_to_delete() -> None:
    assert "crds:alone" not in ids(plan_of(installed(ALONE), ALONE, delete_crds=True))


def test_a_definition_of_which_something_stays_is_kept_and_named() -> None:
    """What is left over of a half-done removal: instances in the state of another component."""
    kept_by_api = replace(OURS, name="of-api")
    observed = installed(WEB, API)
    assert observed.state
    releases = {**observed.state.releases, "api": release(API, kept_by_api, objects=(OBJECT,))}
    observed = replace(
        observed,
        instances={CRD: (OURS, kept_by_api)},
        state=replace(observed.state, releases=releases),
    )
    plan = plan_of(observed, WEB, API, components=("web",), delete_crds=True)
    kept = step(plan, "keep-crds:web")
    assert (kept.action, kept.reason) == (Action.KEEP, f"{CRD}: there are objects of them")
    assert "crds:web" not in ids(plan)


def test_apps_at_github_are_named_where_nobody_will_know_of_them() -> None:
    observed = installed(WEB, API)
    assert observed.state
    apps: dict[str, dict[str, Any]] = {
        "rex": {"id": 1, "name": "cto-rex-acme"},
        "cleo": {"asked": "2030-01-02"},
    }
    webhooks = {"acme": {"id": 5, "url": "https://a.example"}}
    observed = replace(observed, state=replace(observed.state, apps=apps, webhooks=webhooks))
    (told,) = plan_of(observed, WEB, API).warnings
    assert told.startswith("What is at GitHub stays as it is: cto-rex-acme, the webhook of acme.")
    assert "`cto github remove`" in told
    assert plan_of(observed, WEB, API, components=("api",)).warnings == ()


def test_one_component_goes_alone_and_the_rest_is_remembered() -> None:
    plan = plan_of(installed(WEB, API), WEB, API, components=("api",))
    assert ids(plan) == ["uninstall:api", "namespace:api-ns", "state"]
    assert [item.name for item in plan.components] == ["api"]


def test_a_namespace_that_another_component_uses_stays() -> None:
    shared = component("shared", namespace="web-ns")
    plan = plan_of(installed(WEB, shared), WEB, shared, components=("shared",))
    assert not [item for item in plan.steps if isinstance(item, DeleteNamespace)]


def test_a_namespace_that_is_not_ours_stays() -> None:
    observed = replace(installed(ALONE), namespaces={"alone-ns": {}})
    assert "namespace:alone-ns" not in ids(plan_of(observed, ALONE))


def test_a_release_of_somebody_else_is_not_touched() -> None:
    foreign = {"alone-ns/alone": record(ALONE, labels={})}
    observed = Observed(kube_version="v1.34.4", records=foreign)
    assert ids(plan_of(observed, ALONE)) == ["state"]


def test_a_secret_of_somebody_else_is_neither_ours_nor_touched() -> None:
    """Names like `grafana-admin` are common."""
    theirs = {SECRET: {labels.MANAGED_BY: "Helm"}}
    nothing = Observed(kube_version="v1.34.4", present=theirs)
    assert ids(plan_of(nothing, WEB, delete_data=True)) == ["state"]
    beside = replace(installed(WEB), present=theirs)
    assert "data:web" not in ids(plan_of(beside, WEB, delete_data=True))


def test_a_release_that_somebody_put_in_the_place_of_ours_is_not_touched() -> None:
    """The state still knows ours; Helm's record knows better."""
    foreign = {"alone-ns/alone": record(ALONE, labels={})}
    observed = replace(installed(ALONE), records=foreign, claims=(LEFT,))
    plan = plan_of(observed, ALONE, delete_data=True)
    assert step(plan, "uninstall:alone").action is Action.KEEP
    assert "data:alone" not in ids(plan)


def test_what_an_earlier_removal_left_can_go_later() -> None:
    """No release and no state: the Secret and the definitions alone say that something is there."""
    left = Observed(
        kube_version="v1.34.4",
        crds={CRD: {labels.COMPONENT: "web"}},
        present={SECRET: MINE},
        namespaces={"web-ns": MINE},
    )
    plan = plan_of(left, WEB, API, delete_data=True, delete_crds=True)
    assert ids(plan) == ["uninstall:web", "data:web", "crds:web", "namespace:web-ns", "state"]
    gone = step(plan, "uninstall:web")
    assert (gone.action, gone.reason) == (Action.KEEP, "not there")


def test_a_volume_alone_that_an_earlier_removal_left_can_go_later() -> None:
    """Not every component has Secrets or definitions that would stay beside it."""
    left = Observed(kube_version="v1.34.4", namespaces=OURS_STILL, claims=(LEFT,))
    plan = plan_of(left, ALONE, delete_data=True)
    assert ids(plan) == ["uninstall:alone", "data:alone", "namespace:alone-ns", "state"]
    assert objects(plan, "data:alone") == (LEFT.ref,)
    assert "--delete-data" in step(plan_of(left, ALONE), "data:alone").reason


@pytest.mark.parametrize(
    ("namespaces", "records"),
    [({"alone-ns": {}}, {}), (OURS_STILL, {"alone-ns/alone": record(ALONE, labels={})})],
    ids=["namespace", "release"],
)
def test_a_volume_of_a_namespace_or_a_release_of_somebody_else_is_not_touched(
    namespaces: dict[str, dict[str, str]], records: dict[str, ReleaseRecord]
) -> None:
    theirs = Observed(
        kube_version="v1.34.4", namespaces=namespaces, records=records, claims=(LEFT,)
    )
    assert ids(plan_of(theirs, ALONE, delete_data=True)) == ["state"]


def test_what_stays_without_a_state_needs_none_to_be_forgotten() -> None:
    observed = replace(installed(WEB, API), state=None)
    assert ids(plan_of(observed, WEB, API, components=("api",))) == [
        "uninstall:api",
        "namespace:api-ns",
    ]


def test_a_state_alone_with_objects_is_believed_to_be_installed() -> None:
    observed = replace(installed(ALONE), records={})
    gone = step(plan_of(observed, ALONE), "uninstall:alone")
    assert (gone.action, gone.reason) == (Action.DELETE, "installed by us")


def test_who_stays_and_needs_what_goes_is_warned_of() -> None:
    plan = plan_of(installed(WEB, API), WEB, API, components=("web",))
    assert plan.warnings == ("api stays and needs web, which goes",)
    assert plan_of(installed(WEB, API), WEB, API).warnings == ()


def test_a_release_that_is_gone_already_needs_nothing() -> None:
    observed = installed(WEB, API)
    left = replace(observed, records={"web-ns/web": record(WEB)}, crds={CRD: {}})
    assert left.state
    left = replace(left, state=replace(left.state, releases={"web": release(WEB)}))
    assert plan_of(left, WEB, API, components=("web",)).warnings == ()


@given(graphs(5), st.integers(0, 31))
def test_whatever_is_asked_for_dependents_go_before_what_they_need(
    graph: dict[str, tuple[str, ...]], bits: int
) -> None:
    """And no namespace goes before what is in it."""
    items = [component(name, depends_on=after) for name, after in graph.items()]
    names = list(graph)
    chosen = tuple(name for bit, name in enumerate(names) if bits >> bit & 1)
    plan = plan_of(installed(*items), *items, components=chosen)
    removed = {item.component: item for item in plan.steps if isinstance(item, UninstallRelease)}
    assert set(removed) == set(chosen or names)
    for item in items:
        for needed in set(item.depends_on) & removed.keys() if item.name in removed else ():
            assert f"uninstall:{item.name}" in removed[needed].after
    for last in plan.steps:
        if isinstance(last, DeleteNamespace):
            assert {f"uninstall:{name}" for name in removed} <= set(last.after)


class TestUnlisted:
    """Nobody can list the objects of one of our definitions: its webhook is away."""

    def observed(self) -> Observed:
        return replace(installed(WEB), instances={}, unlisted={CRD: "conversion webhook failed"})

    def test_the_component_stays_as_nobody_knows_what_it_serves(self) -> None:
        plan = plan_of(self.observed(), WEB)
        assert "uninstall:web" not in ids(plan)
        note = step(plan, "keep:web")
        text = f"{CRD} cannot be listed (conversion webhook failed)"
        assert note.reason == f"nobody knows what it serves: {text}; --delete-data removes it"

    def test_the_definition_stays_whatever_is_asked_for(self) -> None:
        plan = plan_of(self.observed(), WEB, delete_data=True, delete_crds=True)
        assert "uninstall:web" in ids(plan)
        assert "crds:web" not in ids(plan)
        assert "cannot be listed (conversion webhook failed)" in step(plan, "keep-crds:web").reason
