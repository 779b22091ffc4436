"""Plans of installations: what is there is kept, what differs is mended, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import GeneratedKey, GeneratedSecret
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.plan import labels
from cto.plan.build import install
from cto.plan.changes import Action
from cto.plan.desired import DesiredComponent, crds_digest, release_digest, release_labels
from cto.plan.observed import Observed, ReleaseRecord, ReleaseState, State
from cto.plan.steps import ApplyManifests, ApplyRelease, GenerateSecret, Plan, Step, WaitReady
from fakes.components import chart, component, config_map, wanted, wanted_component

EMPTY = Observed(kube_version="v1.34.4", context="here")
WEB = component(
    "web",
    namespace_labels={"pod-security.kubernetes.io/enforce": "restricted"},
    crds={"source": "crds"},
    generated_secrets=[{"name": "web-admin", "keys": {"password": {"random": 32}}}],
    ready={"probe": {"service": "web", "port": 80, "path": "/healthz"}},
)
GLUE = config_map("glue", "web-ns")
LATE = config_map("late", "web-ns")
ITEM = wanted_component(WEB, values={"replicas": 1}, before=(GLUE,), after=(LATE,))
OBJECT = ObjectRef("apps/v1", "Deployment", "web-ns", "web")


def step(plan: Plan, step_id: str) -> Step:
    return next(step for step in plan.steps if step.id == step_id)


def installed(
    item: DesiredComponent = ITEM, *, status: str = "deployed", without: Sequence[ObjectRef] = ()
) -> Observed:
    """Return what is observed after an undisturbed installation of one component."""
    digest = release_digest(item, EMPTY.kube_version)
    assert item.component.crds is not None
    crds = crds_digest(item.chart, item.component.crds)
    marked = [labels.marked(GLUE, "web", "before"), labels.marked(LATE, "web", "after")]
    present = {ref_of(manifest): labels_of(manifest) for manifest in marked}
    present[OBJECT] = {}
    present[ObjectRef("v1", "Secret", "web-ns", "web-admin")] = {}
    return replace(
        EMPTY,
        records={
            "web-ns/web": ReleaseRecord(
                name="web",
                namespace="web-ns",
                revision=1,
                status=status,
                labels={labels.DIGEST: digest, **release_labels(item, EMPTY.kube_version)},
            )
        },
        namespaces={"web-ns": {labels.MANAGED_BY: labels.OWNER, **WEB.namespace_labels}},
        crds={
            "webs.example.com": {
                labels.COMPONENT: "web",
                labels.DIGEST: crds,
                labels.CRD_COUNT: "1",
            }
        },
        present={ref: found for ref, found in present.items() if ref not in without},
        state=State(
            writer="0.1.0",
            provider="existing",
            profile="minimal",
            releases={
                "web": ReleaseState(
                    component="web",
                    release="web",
                    namespace="web-ns",
                    digest=digest,
                    chart="web-1.0.0",
                    objects=(OBJECT,),
                    glue=tuple(sorted(ref_of(manifest) for manifest in marked)),
                )
            },
        ),
    )


def test_everything_is_created_in_an_empty_cluster() -> None:
    plan = install(wanted(ITEM), EMPTY)
    assert {item.id: item.action for item in plan.steps} == {
        "namespace:web-ns": Action.CREATE,
        "secret:web-ns/web-admin": Action.CREATE,
        "crds:web": Action.CREATE,
        "before:web": Action.CREATE,
        "release:web": Action.CREATE,
        "ready:web": Action.WAIT,
        "after:web": Action.CREATE,
        "settled:web": Action.WAIT,
        "probe:web": Action.CHECK,
        "github": Action.SKIP,
    }


def test_nothing_changes_when_everything_is_there() -> None:
    assert install(wanted(ITEM), installed()).changes == ()


def test_the_inventory_of_an_unchanged_release_is_waited_for() -> None:
    waits = step(install(wanted(ITEM), installed()), "ready:web")
    assert isinstance(waits, WaitReady)
    assert waits.objects == (OBJECT,)


def test_the_order_is_namespace_secret_crds_glue_release_readiness_glue() -> None:
    plan = install(wanted(ITEM), EMPTY)
    assert set(step(plan, "release:web").after) == {
        "namespace:web-ns",
        "secret:web-ns/web-admin",
        "crds:web",
        "before:web",
    }
    assert step(plan, "ready:web").after == ("release:web",)
    assert step(plan, "after:web").after == ("ready:web",)
    assert step(plan, "settled:web").after == ("after:web",)
    assert step(plan, "probe:web").after == ("settled:web",)


def test_a_release_waits_for_the_releases_that_it_depends_on_but_not_for_their_readiness() -> None:
    api = wanted_component(component("api", depends_on=["web"]))
    plan = install(wanted(ITEM, api), EMPTY)
    assert "release:web" in step(plan, "release:api").after
    assert "ready:web" not in step(plan, "release:api").after


def test_a_disabled_component_is_told_once_as_kept_if_it_is_there() -> None:
    plan = install(wanted(wanted_component(component("api")), disabled=("web",)), EMPTY)
    assert step(plan, "disabled:web").reason == "mode is disabled: it is not installed"

    plan = install(wanted(wanted_component(component("api")), disabled=("web",)), installed())
    assert [s.id for s in plan.steps if s.component == "web"] == ["kept:web"]


def test_a_dependency_that_is_external_is_not_waited_for() -> None:
    api = wanted_component(component("api", depends_on=["web"]))
    plan = install(wanted(api, external=("web",)), EMPTY)
    assert step(plan, "release:api").after == ("namespace:api-ns",)
    assert step(plan, "external:web").reason == "mode is external: yours is used"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (wanted_component(WEB, version="2.0.0", values={"replicas": 1}), "web-1.0.0 -> web-2.0.0"),
        (wanted_component(WEB, values={"replicas": 2}), "values changed"),
    ],
)
def test_a_release_is_upgraded_with_the_reason(item: DesiredComponent, reason: str) -> None:
    release = step(install(wanted(item), installed()), "release:web")
    assert (release.action, release.reason) == (Action.UPDATE, reason)


def test_another_kubernetes_minor_version_upgrades_releases_and_a_patch_does_not() -> None:
    for version, action in (("v1.35.0", Action.UPDATE), ("v1.34.9", Action.KEEP)):
        plan = install(wanted(ITEM), replace(installed(), kube_version=version))
        assert step(plan, "release:web").action is action


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "uninstalling"])
def test_an_unfinished_release_is_repaired(status: str) -> None:
    release = step(install(wanted(ITEM), installed(status=status)), "release:web")
    assert (release.action, release.reason) == (Action.REPAIR, f"an earlier run left it {status}")


def test_a_failed_release_is_upgraded() -> None:
    release = step(install(wanted(ITEM), installed(status="failed")), "release:web")
    assert (release.action, release.reason) == (Action.UPDATE, "the last attempt is failed")


def test_a_missing_object_is_repaired_and_named() -> None:
    release = step(install(wanted(ITEM), installed(without=[OBJECT])), "release:web")
    assert (release.action, release.reason) == (
        Action.REPAIR,
        "missing: Deployment web in web-ns",
    )


def test_an_unknown_inventory_is_no_reason_to_believe() -> None:
    release = step(install(wanted(ITEM), replace(installed(), state=None)), "release:web")
    assert (release.action, release.reason) == (Action.REPAIR, "its objects are not known")


def test_glue_that_is_no_longer_wanted_is_pruned_by_the_inventory() -> None:
    plan = install(wanted(replace(ITEM, before=())), installed())
    pruned = step(plan, "before:web")
    assert isinstance(pruned, ApplyManifests)
    assert (pruned.prune, pruned.manifests) == ((ref_of(GLUE),), ())
    assert step(plan, "after:web").action is Action.KEEP


def test_glue_that_changed_is_applied() -> None:
    changed = replace(ITEM, before=(config_map("glue", "web-ns", "other"),))
    before = step(install(wanted(changed), installed()), "before:web")
    assert (before.action, before.reason) == (Action.UPDATE, "changed or missing")


def test_glue_that_a_killed_run_did_not_write_down_is_applied_again() -> None:
    """Else nobody could prune it later: only the inventory says what is ours."""
    observed = installed()
    assert observed.state is not None
    state = observed.state.releases["web"]
    forgotten = replace(observed.state, releases={"web": replace(state, glue=())})
    before = step(install(wanted(ITEM), replace(observed, state=forgotten)), "before:web")
    assert (before.action, before.reason) == (Action.UPDATE, "not in the inventory")


def test_glue_that_moved_to_the_other_moment_is_not_pruned() -> None:
    moved = replace(ITEM, before=(), after=(GLUE, LATE))
    plan = install(wanted(moved), installed())
    assert [item for item in plan.steps if isinstance(item, ApplyManifests) and item.prune] == []


HOLDING = WEB.model_copy(
    update={
        "data": ("Web",),
        "generated_secrets": (
            GeneratedSecret(name="key", keys={"k": GeneratedKey(random=32)}, each=("Web",)),
        ),
    }
)
HELD: Manifest = {
    "apiVersion": "example.com/v1",
    "kind": "Web",
    "metadata": {"name": "shop", "namespace": "team"},
}


@pytest.mark.parametrize(
    ("found", "made"),
    [
        ({}, True),
        ({"team": {labels.MANAGED_BY: labels.OWNER}}, True),
        ({"team": {"whose": "theirs"}}, False),
    ],
)
def test_an_own_object_gets_a_secret_beside_it_and_a_namespace_unless_that_is_somebody_else_s(
    *, found: dict[str, dict[str, str]], made: bool
) -> None:
    item = replace(ITEM, component=HOLDING, after=(HELD,))
    plan = install(wanted(item), replace(EMPTY, namespaces=found))
    secret = step(plan, "secret:team/shop-key")
    assert isinstance(secret, GenerateSecret)
    assert (secret.namespace, secret.secret.name) == ("team", "shop-key")
    assert "secret:web-ns/key" not in [item.id for item in plan.steps]
    assert ("namespace:team" in [item.id for item in plan.steps]) == made
    assert ("namespace:team" in secret.after) == made


def test_a_secret_has_a_key_for_each_agent_and_is_looked_at_for_those_that_are_new() -> None:
    given = {"name": "hooks", "keys": {"*": {"random": 32}}, "entries": "agents"}
    item = replace(ITEM, component=component("web", generated_secrets=[given]), agents=("rex",))
    secret = step(install(wanted(item), EMPTY), "secret:web-ns/hooks")
    assert isinstance(secret, GenerateSecret)
    assert (secret.action, {*secret.secret.keys}) == (Action.CREATE, {"rex"})
    there = replace(EMPTY, present={ObjectRef("v1", "Secret", "web-ns", "hooks"): {}})
    assert step(install(wanted(item), there), "secret:web-ns/hooks").action is Action.CHECK


def test_an_own_object_that_holds_data_is_not_pruned() -> None:
    observed = installed()
    assert observed.state is not None
    release = observed.state.releases["web"]
    state = replace(release, glue=(*release.glue, ref_of(HELD)))
    observed = replace(
        observed,
        state=replace(observed.state, releases={"web": state}),
        present={**observed.present, ref_of(HELD): {labels.MOMENT: "after"}},
    )
    for component_, pruned in ((HOLDING, ()), (WEB, (ref_of(HELD),))):
        plan = install(wanted(replace(ITEM, component=component_)), observed)
        after = step(plan, "after:web")
        assert isinstance(after, ApplyManifests)
        assert after.prune == pruned


def test_a_missing_crd_is_noticed_by_the_number_that_its_siblings_carry() -> None:
    observed = installed()
    crd = {**observed.crds["webs.example.com"], labels.CRD_COUNT: "2"}
    plan = install(wanted(ITEM), replace(observed, crds={"webs.example.com": crd}))
    assert step(plan, "crds:web").action is Action.UPDATE


def test_a_namespace_with_other_labels_is_updated_and_two_components_share_one() -> None:
    observed = replace(EMPTY, namespaces={"web-ns": {}})
    other = wanted_component(component("other", namespace="web-ns"))
    plan = install(wanted(ITEM, other), observed)
    namespaces = [item for item in plan.steps if item.id.startswith("namespace:")]
    assert [(item.id, item.reason) for item in namespaces] == [
        ("namespace:web-ns", "labels changed")
    ]


def test_simulated_programs_are_not_probed() -> None:
    probe = step(install(wanted(ITEM), replace(EMPTY, simulated=True)), "probe:web")
    assert (probe.action, probe.reason) == (Action.SKIP, "simulated: no program runs")


def test_a_supplied_secret_is_compared_when_it_runs_and_its_value_is_not_in_the_plan() -> None:
    item = replace(ITEM, supplied={"keys": ("Opaque", {"token": "github.webhook_secret"})})
    assert step(install(wanted(item), EMPTY), "supply:web-ns/keys").action is Action.CREATE
    observed = installed()
    there = {**observed.present, ObjectRef("v1", "Secret", "web-ns", "keys"): {}}
    plan = install(wanted(item), replace(observed, present=there))
    assert step(plan, "supply:web-ns/keys").action is Action.CHECK


def test_a_component_that_is_no_longer_wanted_stays_and_is_named() -> None:
    plan = install(wanted(wanted_component(component("api"))), installed())
    assert step(plan, "kept:web").action is Action.KEEP
    assert plan.warnings == (
        "web is installed and no longer wanted: `cto uninstall --component web` removes it",
    )


def test_a_cluster_that_is_made_comes_first() -> None:
    absent = replace(EMPTY, exists=False, simulated=True)
    plan = install(wanted(ITEM, creates_cluster=True, provider="kwok"), absent)
    assert step(plan, "cluster").action is Action.CREATE
    assert step(plan, "namespace:web-ns").after == ("cluster",)
    there = install(wanted(ITEM, creates_cluster=True, provider="kwok"), EMPTY)
    assert step(there, "cluster").reason == "here is there"


def test_the_digest_of_a_release_follows_chart_and_values() -> None:
    base = release_digest(ITEM, "v1.34.4")
    assert base == release_digest(replace(ITEM, values={"replicas": 1}), "v1.34.0")
    assert base != release_digest(replace(ITEM, values={"replicas": 2}), "v1.34.4")
    assert base != release_digest(replace(ITEM, chart=chart("web", digest="other")), "v1.34.4")
    assert len(base) <= 63


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.randoms())
def test_dependencies_come_first_whatever_the_graph(names: list[str], random: Random) -> None:
    """Every release follows the releases of all that its component depends on."""
    items = [
        wanted_component(
            component(name, depends_on=random.sample(names[:index], random.randint(0, index)))
        )
        for index, name in enumerate(names)
    ]
    plan = install(wanted(*items), EMPTY)
    for item in items:
        after = set(step(plan, f"release:{item.component.name}").after)
        assert {f"release:{name}" for name in item.component.depends_on} <= after


def test_json_of_a_plan_has_no_values() -> None:
    item = replace(ITEM, values={"password": "planted"})
    plan = install(wanted(item), EMPTY)
    assert "planted" not in str([entry.to_json() for entry in plan.steps])
    release = step(plan, "release:web")
    assert isinstance(release, ApplyRelease)
    assert release.to_json() == {
        "id": "release:web",
        "phase": "core",
        "component": "web",
        "title": "Install Web 1.0.0",
        "action": "create",
        "reason": "not installed",
        "after": [
            "namespace:web-ns",
            "secret:web-ns/web-admin",
            "crds:web",
            "before:web",
        ],
        "timeout_seconds": 600.0,
        "touches": ["Helm release web in web-ns"],
    }
