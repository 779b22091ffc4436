"""The verbs over fakes: what they leave in the cluster, whatever the cluster was like before."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any, Never

import pytest

from cto.catalog import Component, load
from cto.config.model import Config
from cto.engine.lease import Loss
from cto.engine.preflight_errors import refuse_failed
from cto.errors import ApiError, Cancelled, LockedError, PreflightError, ToolError
from cto.events import Event, Outcome, StepFinished, StepProgress, StepStarted
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.plan.desired import DesiredState, Destination
from cto.plan.observed import Observed, ReleaseState
from cto.plan.remove import Options
from cto.plan.steps import ApplyRelease, Plan
from cto.ports import Chart, ReleaseSpec
from cto.result import Check, CheckStatus
from fakes.components import chart, definition
from fakes.releases import Killed
from fakes.world import World, crd, write_components

WEB = (
    definition("web")
    + """
crds: {source: crds}
generated_secrets:
  - name: web-admin
    keys: {user: {value: admin}, password: {random: 32}}
supplied_secrets:
  - {name: web-hook, keys: {secret: github.webhook_secret}}
  - {name: web-keys, keys: {"*_API_KEY": "providers.*"}}
manifests: {before: [glue.yaml.j2], after: [web.yaml.j2]}
"""
)
GLUE = """
apiVersion: v1
kind: ConfigMap
metadata: {name: glue, namespace: web}
data: {profile: "{{ profile }}"}
"""
CUSTOM = """
apiVersion: example.com/v1
kind: Web
metadata: {name: default, namespace: web}
spec: {}
"""
API = definition("api") + "depends_on: [web]\n"
ADMIN = ObjectRef("v1", "Secret", "web", "web-admin")
GLUE_REF = ObjectRef("v1", "ConfigMap", "web", "glue")
CUSTOM_REF = ObjectRef("example.com/v1", "Web", "web", "default")
HOOK = ObjectRef("v1", "Secret", "web", "web-hook")
KEYS = ObjectRef("v1", "Secret", "web", "web-keys")
CRD_NAME = "webs.example.com"


@pytest.fixture
def world(tmp_path: Path) -> World:
    write_components(
        tmp_path,
        {
            "web": {
                "component.yaml": WEB,
                "values.yaml.j2": "replicas: 1\n",
                "glue.yaml.j2": GLUE,
                "web.yaml.j2": CUSTOM,
            },
            "api": {"component.yaml": API, "values.yaml.j2": "{}\n"},
        },
    )
    made = World(load(tmp_path), Config())
    made.crds["web"] = [crd("webs.example.com", "Web")]
    return made


def with_config(world: World, **values: Any) -> World:
    world.config = Config.model_validate(values)
    return world


def essence(world: World) -> dict[Any, Any]:
    """Return what matters of all objects: not when and how often they were written."""
    result = {}
    for ref, manifest in world.cluster.everything().items():
        if ref.kind in {"Lease", "Event"} or ref.name.startswith(("cto-journal", "cto-run-")):
            continue
        name = "helm record" if ref.name.startswith("sh.helm") else ref.name
        kept = {k: v for k, v in manifest.items() if k not in {"metadata", "status"}}
        labels = dict(manifest["metadata"].get("labels", {}))
        for volatile in ("version", "modifiedAt", "createdAt"):
            labels.pop(volatile, None)
        kept.pop("data" if name == "helm record" else "", None)
        result[ref.kind, ref.namespace, name, labels.get("name"), labels.get("status")] = (
            kept,
            labels,
        )
    return result


def generated(world: World) -> dict[str, str]:
    data: dict[str, str] = world.cluster.everything()[ADMIN]["data"]
    return data


def releases(world: World) -> Mapping[str, ReleaseState]:
    """Return what the state tells of them."""
    state = world.installer().store.load()
    assert state is not None
    return state.releases


def held(turns: int) -> Manifest:
    """Return the lock as somebody has it, who took it as the last of so many."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "cto-lock", "namespace": "cto-system"},
        "spec": {"holderIdentity": "somebody", "leaseTransitions": turns},
    }


def test_an_installation_leaves_releases_glue_secrets_crds_and_state(world: World) -> None:
    plan, report = world.installer().install()
    assert report.errors == ()
    assert report.not_run == ()
    found = world.cluster.everything()
    for ref in (ADMIN, GLUE_REF, CUSTOM_REF, ObjectRef("apps/v1", "Deployment", "api", "api")):
        assert ref in found
    remembered = releases(world)
    assert set(remembered) == {"web", "api"}
    assert set(remembered["web"].glue) == {GLUE_REF, CUSTOM_REF}
    assert ObjectRef("apps/v1", "Deployment", "web", "web") in remembered["web"].objects
    assert len(plan.changes) == 8


def test_the_second_run_changes_nothing_and_calls_no_helm(world: World) -> None:
    world.installer().install()
    secret, before = generated(world), essence(world)
    world.releases.calls.clear()
    world.cluster.calls.clear()
    plan, _ = world.installer().install()
    assert plan.changes == ()
    assert world.releases.calls == []
    assert {call[0] for call in world.cluster.calls} & {"apply", "create", "delete"} == set()
    assert (generated(world), essence(world)) == (secret, before)


def test_the_second_run_looks_at_workloads_once(world: World) -> None:
    """Whether they exist, are ready and are healthy is told from the same lists."""
    world.installer().install()
    world.cluster.calls.clear()
    installer = world.installer()
    world.during_lock = lambda _: world.cluster.add(held(turns=1))
    installer.install()
    lists = [call for call in world.cluster.calls if call[1] == "Deployment"]
    assert sorted(lists) == sorted(set(lists))
    assert {call[0] for call in lists} == {"list"}
    seen = installer.observation.lists()
    assert seen is not None
    assert seen.objects("apps/v1", "Deployment", "web").keys() == {"web"}


@pytest.mark.parametrize(("pause_s", "looks"), [(0, 1), (20, 1), (60, 2)])
def test_a_slow_run_looks_no_more_often_than_a_quick_one(
    world: World, pause_s: int, looks: int
) -> None:
    """A server that needs seconds for each answer must not be asked twice because of that."""
    world.installer().install()

    def wait_long(_: Flag) -> None:
        world.cluster.add(held(turns=1))
        world.clock.advance(pause_s)

    world.during_lock = wait_long
    world.cluster.calls.clear()
    plan, report = world.installer().install()
    assert (plan.changes, report.errors) == ((), ())
    lists = [call for call in world.cluster.calls if call[:3] == ("list", "Deployment", "web")]
    watches = [call for call in world.cluster.calls if call[0] == "watch"]
    assert len(lists) == 1
    assert bool(watches) == (looks > 1)


def test_what_became_ready_meanwhile_is_looked_at_again_for_the_health_check(world: World) -> None:
    world.installer().install()
    workload = ObjectRef("apps/v1", "Deployment", "web", "web")
    ready = (world.cluster.get(workload) or {})["status"]
    world.cluster.set_status(workload, {})

    def made_ready(_: object) -> None:
        world.cluster.add(held(turns=1))
        world.cluster.set_status(workload, ready)

    installer = world.installer()
    world.during_lock = made_ready
    plan, report = installer.install()
    assert (plan.changes, report.errors) == ((), ())
    assert installer.observation.lists() is None


def test_an_installation_that_changed_something_leaves_no_old_lists(world: World) -> None:
    installer = world.installer()
    installer.install()
    assert installer.observation.lists() is None


def test_a_generated_secret_has_what_was_asked_for(world: World) -> None:
    world.installer().install()
    data = generated(world)
    assert base64.b64decode(data["user"]) == b"admin"
    assert len(base64.b64decode(data["password"])) == 32


def test_supplied_secrets_come_from_the_configuration(world: World) -> None:
    with_config(
        world,
        github={"webhook_secret": "planted-hook"},
        providers={"anthropic": "planted-key", "x_ai": "planted-other"},
    )
    world.installer().install()
    found = world.cluster.everything()
    assert found[HOOK]["data"] == {"secret": base64.b64encode(b"planted-hook").decode()}
    assert set(found[KEYS]["data"]) == {"ANTHROPIC_API_KEY", "X_AI_API_KEY"}


def test_a_supplied_secret_that_changed_is_written_again(world: World) -> None:
    with_config(world, github={"webhook_secret": "first"})
    world.installer().install()
    with_config(world, github={"webhook_secret": "second"})
    world.installer().install()
    assert base64.b64decode(world.cluster.everything()[HOOK]["data"]["secret"]) == b"second"


def test_each_repository_has_a_secret_that_goes_with_it(world: World) -> None:
    web = WEB.replace(
        "supplied_secrets:",
        "supplied_secrets:\n  - {name: repository, each: repositories, keys: {password: password}}",
    )
    write_components(world.catalog.bundle, {"web": {"component.yaml": web}})
    world.catalog = load(world.catalog.bundle)
    shop = {"url": "https://git.example.com/shop", "username": "git", "password": "planted-token"}
    charts = {"url": "oci://charts.example.com/acme", "type": "oci"}
    with_config(world, repositories={"shop": {**shop, "shared": True}, "charts": charts})
    world.installer().install()

    def secret(name: str) -> tuple[dict[str, str], str]:
        found = world.cluster.everything()[ObjectRef("v1", "Secret", "web", f"repository-{name}")]
        data = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
        return data, labels_of(found)["argocd.argoproj.io/secret-type"]

    assert secret("shop") == ({"type": "git", **shop}, "repo-creds")
    assert secret("charts") == (charts, "repository")
    others = [str(item) for ref, item in world.cluster.everything().items() if ref.kind != "Secret"]
    assert not any("planted-token" in text for text in others)
    plan, _ = world.installer().install()
    assert plan.changes == ()
    with_config(world, repositories={"shop": {"url": shop["url"]}})
    world.installer().install()
    assert secret("shop") == ({"type": "git", "url": shop["url"]}, "repository")
    there = {ref.name for ref in world.cluster.everything() if ref.kind == "Secret"}
    assert "repository-charts" not in there
    assert "web-admin" in there


def test_a_secret_that_another_component_generates_is_copied_with_its_labels(world: World) -> None:
    copied = "{name: web, of: web, labels: {part-of: api}, keys: {secret: web-admin/password}}"
    text = f"{API}supplied_secrets: [{copied}]\n"
    write_components(world.catalog.bundle, {"api": {"component.yaml": text}})
    world.catalog = load(world.catalog.bundle)
    world.installer().install()
    copy = world.cluster.everything()[ObjectRef("v1", "Secret", "api", "web")]
    assert copy["data"] == {"secret": generated(world)["password"]}
    assert labels_of(copy)["part-of"] == "api"
    plan, _ = world.installer().install()
    assert plan.changes == ()


def test_a_referenced_secret_is_copied(world: World) -> None:
    source = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "mine", "namespace": "cto"},
    }
    world.cluster.add({**source, "data": {"hook": base64.b64encode(b"from-there").decode()}})
    with_config(world, github={"webhook_secret": {"secret": "mine", "key": "hook"}})
    world.installer().install()
    assert base64.b64decode(world.cluster.everything()[HOOK]["data"]["secret"]) == b"from-there"


def test_a_reference_to_nothing_fails_its_step_and_names_the_field(world: World) -> None:
    with_config(world, github={"webhook_secret": {"secret": "mine", "key": "hook"}})
    _, report = world.installer().install()
    assert [error.message for error in report.errors] == [
        "github.webhook_secret: Secret mine in cto has no key 'hook'"
    ]


def test_the_state_holds_no_secret(world: World) -> None:
    with_config(world, github={"webhook_secret": "planted-hook"})
    world.installer().install()
    state = world.cluster.everything()[ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")]
    assert "planted" not in str(state)
    assert base64.b64decode(generated(world)["password"]).decode() not in str(state)


@pytest.mark.parametrize("release", ["web", "api"])
@pytest.mark.parametrize("at", ["pending", "applied"])
def test_a_killed_installation_is_finished_by_the_same_command(
    world: World, tmp_path: Path, release: str, at: str
) -> None:
    """The end is that of an undisturbed run, object by object."""
    undisturbed = World(load(tmp_path), Config(), crds=world.crds)
    undisturbed.installer().install()
    world.releases.die(release, at=at)
    with pytest.raises(Killed):
        world.installer().install()
    _, report = world.installer().install()
    assert report.errors == ()
    mine, other = essence(world), essence(undisturbed)
    assert mine.keys() == other.keys()
    secret = ("Secret", "web", "web-admin", None, None)
    assert {k: v for k, v in mine.items() if k != secret} == {
        k: v for k, v in other.items() if k != secret
    }


def test_a_run_that_died_before_it_wrote_the_state_is_believed_by_helms_record(
    world: World,
) -> None:
    world.installer().install()
    for name in ("cto-state", "cto-journal"):
        world.cluster.remove(ObjectRef("v1", "ConfigMap", "cto-system", name))
    world.releases.calls.clear()
    before = essence(world)
    plan, _ = world.installer().install()
    assert [call for call in world.releases.calls if call[0] == "upgrade"] == []
    # What glue there is was forgotten too: it is applied once more, and stays as it was.
    assert {step.id for step in plan.changes} <= {"before:web", "after:web"}
    assert before.items() <= essence(world).items()
    assert world.installer().install()[0].changes == ()


def test_a_record_that_contradicts_its_label_is_not_believed(world: World) -> None:
    """A Helm that is interrupted can leave the label `deployed` on a record that says `failed`."""

    def interrupt(spec: ReleaseSpec) -> None:
        if spec.name == "web":
            world.releases.contradictions["web"] = "failed"
            raise KeyboardInterrupt

    world.releases.during_upgrade = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.installer().install()
    world.releases.put_record("web", "web", labels=world.releases.labels("web", "web"))
    world.releases.during_upgrade = lambda _: None
    plan, report = world.installer().install()
    assert "release:web" in {step.id for step in plan.changes}
    assert report.errors == ()
    assert world.releases.statuses("web", "web") == {1: "superseded", 2: "deployed"}
    assert world.installer().install()[0].changes == ()


def test_a_repair_that_dies_does_not_pass_for_the_release_before_it(world: World) -> None:
    """It has the same digest: the state has to forget that it knows it."""
    world.installer().install()
    world.cluster.remove(ObjectRef("apps/v1", "Deployment", "web", "web"))
    world.releases.during_upgrade = lambda _: world.releases.contradictions.update(web="failed")
    world.releases.die("web", at="applied")
    with pytest.raises(Killed):
        world.installer().install()
    world.releases.put_record("web", "web", revision=2, labels=world.releases.labels("web", "web"))
    world.releases.during_upgrade = lambda _: None
    plan, _ = world.installer().install()
    assert "release:web" in {step.id for step in plan.changes}
    assert world.installer().install()[0].changes == ()


def test_glue_that_disappears_is_pruned(world: World, tmp_path: Path) -> None:
    world.installer().install()
    write_components(tmp_path, {"web": {"glue.yaml.j2": "# nothing\n"}})
    world.installer().install()
    assert GLUE_REF not in world.cluster.everything()
    assert releases(world)["web"].glue == (CUSTOM_REF,)


def test_an_object_that_somebody_deleted_comes_back(world: World) -> None:
    world.installer().install()
    deployment = ObjectRef("apps/v1", "Deployment", "api", "api")
    world.cluster.remove(deployment)
    plan, _ = world.installer().install()
    assert [step.reason for step in plan.changes] == ["missing: Deployment api in api"]
    assert deployment in world.cluster.everything()


def test_another_chart_version_is_one_upgrade(world: World) -> None:
    world.installer().install()
    world.charts["api"] = chart("api", "1.1.0")
    plan, _ = world.installer().install()
    assert [(step.id, step.reason) for step in plan.changes] == [
        ("release:api", "api-1.0.0 -> api-1.1.0")
    ]


def test_a_failed_release_stops_what_depends_on_it_and_nothing_else(world: World) -> None:
    world.releases.fail("web")
    _, report = world.installer().install()
    assert [error.code for error in report.errors] == ["CTO-1500"]
    assert "release:api" in report.not_run
    finished = [event for event in world.events if isinstance(event, StepFinished)]
    assert {e.step_id for e in finished if e.outcome is Outcome.FAILED} == {"release:web"}
    _, report = world.installer().install()
    assert report.errors == ()


def test_a_workload_that_is_never_ready_fails_after_the_steps_time(world: World) -> None:
    world.cluster.controllers.clear()
    _, report = world.installer().install()
    assert {error.code for error in report.errors} == {"CTO-1700"}


@pytest.mark.parametrize(
    ("creates", "so_far"),
    [
        (False, "Nothing was changed."),
        (True, "The cluster is there; nothing was changed on it."),
    ],
)
def test_nothing_is_changed_if_a_preflight_check_fails(
    world: World, *, creates: bool, so_far: str
) -> None:
    world.checks.append(
        Check(
            name="room",
            title="Room",
            status=CheckStatus.FAILED,
            message="2 CPUs are missing",
            fix="Add a node.",
            code="CTO-1400",
        )
    )
    before = set(world.cluster.everything())
    destination = Destination(provider="existing", base="minimal", creates=creates)
    with pytest.raises(PreflightError) as caught:
        world.installer(destination=destination).install()
    assert caught.value.details == "Room: 2 CPUs are missing\n  fix: Add a node."
    assert caught.value.hint.endswith(so_far)
    assert set(world.cluster.everything()) == before


def test_all_failed_checks_are_told_at_once_and_a_common_code_is_kept() -> None:
    foreign = Check(
        name="a",
        title="A",
        status=CheckStatus.FAILED,
        message="is foreign",
        code="CTO-1401",
        items=("Namespace web",),
    )
    with pytest.raises(PreflightError) as caught:
        refuse_failed([foreign, foreign])
    assert (caught.value.code, caught.value.message) == ("CTO-1401", "2 preflight checks failed")
    assert "  Namespace web" in caught.value.details


def test_a_lost_lock_stops_the_run(world: World) -> None:
    world.during_lock = lambda lost: lost.set()
    with pytest.raises(LockedError) as caught:
        world.installer().install()
    assert caught.value.code == "CTO-2001"


def test_a_cancelled_step_ends_the_run(world: World) -> None:
    def cancel(_spec: ReleaseSpec) -> None:
        raise Cancelled

    world.releases.during_upgrade = cancel
    with pytest.raises(Cancelled):
        world.installer().install()


def test_ctrl_c_stops_the_programs_and_says_what_is_left(world: World) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step_id == "release:web":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        world.installer(listen=interrupt).install()
    with pytest.raises(Cancelled):
        world.runner.run(["helm"], timeout_s=1)
    assert not world.runner.at_once, "helm marks its release as failed if it may"
    done, running, left = str(caught.value).splitlines()
    assert done.startswith("done, and stays done: ")
    assert "Generate secret web-admin" in done
    assert running.startswith("in the middle of: ")
    assert "Install Web 1.0.0" in running
    assert left.startswith("not begun: ")
    assert "Install Api 1.0.0" in left


def test_ctrl_c_before_the_first_step_and_after_the_last_one_is_told_apart(world: World) -> None:
    def interrupt(_observed: Observed, _wanted: DesiredState, _plan: Plan) -> Never:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="not begun: every step"):
        world.installer(preflight=interrupt).install()
    world.cluster.fail_next("delete", KeyboardInterrupt(), kind="Namespace")
    with pytest.raises(KeyboardInterrupt, match="done: everything is removed"):
        world.installer().uninstall(Options())


def test_after_a_lost_lock_helm_is_not_left_time_to_write(world: World) -> None:
    flags: list[Flag] = []
    world.during_lock = flags.append

    def lose(_spec: ReleaseSpec) -> Never:
        flags[0].set()
        raise Cancelled

    world.releases.during_upgrade = lose
    with pytest.raises(LockedError) as caught:
        world.installer().install()
    assert caught.value.code == "CTO-2001"
    assert world.runner.at_once
    _, running, _ = caught.value.details.splitlines()
    assert running.startswith("in the middle of: ")
    assert "Install Web 1.0.0" in running


def test_a_lock_that_is_lost_before_the_first_step_lets_nothing_be_written(world: World) -> None:
    world.during_lock = lambda lost: lost.set()
    with pytest.raises(LockedError):
        world.installer().uninstall(Options())
    with pytest.raises(LockedError):
        world.installer().install()
    assert world.cluster.get(ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")) is None
    assert world.cluster.get(ObjectRef("v1", "Namespace", "", "web")) is None


def test_a_run_whose_lock_could_not_be_renewed_for_a_while_goes_on(world: World) -> None:
    """The API server was silent in the middle of Helm's work, which is ended and done again."""
    held, tries = Flag(), list[str]()
    held.set()

    @contextmanager
    def lock(_: Loss) -> Iterator[Callable[[], bool]]:
        yield held.is_set

    def silence(spec: ReleaseSpec) -> None:
        tries.append(spec.name)
        if tries == ["web"]:
            ended = world.runner._interrupted
            held.clear()
            # Helm is ended as soon as the run has noticed, and not before.
            assert ended.wait(10)
            world.clock.at(40, held.set)
            raise Cancelled

    world.releases.during_upgrade = silence
    world.cluster.apply_quietly(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cto-system"}}
    )
    plan, report = world.installer(lock=lock).install()
    assert report.errors == ()
    assert tries.count("web") == 2
    assert {run.id for run in report.runs} == {step.id for step in plan.steps}
    assert world.installer().install()[0].changes == ()


def test_why_a_lock_was_lost_is_told(world: World) -> None:
    error = ApiError("CTO-1601", "the API server was silent")

    def lose(lost: Loss) -> None:
        lost.error = lambda _: error
        lost.set()

    world.during_lock = lose  # type: ignore[assignment] # it is one
    with pytest.raises(ApiError, match="the API server was silent"):
        world.installer().install()


def test_a_newer_installers_state_is_left_alone(world: World) -> None:
    world.installer(version="9.0.0").install()
    with pytest.raises(PreflightError) as caught:
        world.installer().install()
    assert caught.value.code == "CTO-1402"
    assert "9.0.0" in caught.value.message


def test_uninstall_keeps_data_and_names_it(world: World) -> None:
    world.installer().install()
    plan, report = world.installer(config=None).uninstall(Options())
    assert report.errors == ()
    found = world.cluster.everything()
    assert ADMIN in found
    assert ObjectRef("apps/v1", "Deployment", "web", "web") not in found
    assert CUSTOM_REF not in found
    assert ObjectRef("v1", "Namespace", "", "api") not in found
    assert ObjectRef("v1", "Namespace", "", "web") in found
    assert "web-admin" in next(step.reason for step in plan.steps if step.id == "data:web")


def test_uninstall_with_everything_leaves_nothing(world: World) -> None:
    before = set(world.cluster.everything())
    world.installer().install()
    options = Options(delete_data=True, delete_crds=True)
    _, report = world.installer(config=None).uninstall(options)
    assert report.errors == ()
    assert set(world.cluster.everything()) == before


def test_a_component_that_serves_users_objects_stays_with_its_namespace(world: World) -> None:
    world.installer().install()
    theirs = {"apiVersion": "example.com/v1", "kind": "Web"}
    world.cluster.add({**theirs, "metadata": {"name": "mine", "namespace": "default"}})
    plan, _ = world.installer(config=None).uninstall(Options())
    found = world.cluster.everything()
    assert ObjectRef("apps/v1", "Deployment", "web", "web") in found
    assert ObjectRef("apps/v1", "Deployment", "api", "api") not in found
    kept = next(step for step in plan.steps if step.id == "keep:web")
    assert "Web mine in default" in kept.reason
    assert set(releases(world)) == {"web"}


def test_data_that_an_earlier_uninstallation_left_can_be_deleted_later(world: World) -> None:
    before = set(world.cluster.everything())
    world.installer().install()
    world.installer(config=None).uninstall(Options())
    world.installer(config=None).uninstall(Options(delete_data=True, delete_crds=True))
    assert set(world.cluster.everything()) == before


def test_volumes_alone_that_an_earlier_uninstallation_left_can_be_deleted_later(
    world: World,
) -> None:
    """A database without a Secret or a definition: nothing but its claim is left of it."""
    before = set(world.cluster.everything())
    world.installer().install()
    metadata = {
        "name": "data-api-0",
        "namespace": "api",
        "labels": {"app.kubernetes.io/instance": "api"},
    }
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata}
    world.cluster.add(claim)
    world.installer(config=None).uninstall(Options())
    assert ref_of(claim) in world.cluster.everything()
    world.installer(config=None).uninstall(Options(delete_data=True, delete_crds=True))
    assert set(world.cluster.everything()) == before


def test_one_component_goes_alone(world: World) -> None:
    world.installer().install()
    world.installer(config=None).uninstall(Options(components=("api",)))
    assert set(releases(world)) == {"web"}
    assert GLUE_REF in world.cluster.everything()


def test_an_uninstallation_that_was_killed_is_finished(world: World) -> None:
    world.installer().install()
    world.releases.die("web")
    with pytest.raises(Killed):
        world.installer(config=None).uninstall(Options(delete_data=True))
    _, report = world.installer(config=None).uninstall(Options(delete_data=True))
    assert report.errors == ()
    assert ObjectRef("v1", "Namespace", "", "web") not in world.cluster.everything()


def test_a_plan_changes_nothing(world: World) -> None:
    before = essence(world)
    plan = world.installer().plan_install()
    assert any(isinstance(step, ApplyRelease) for step in plan.steps)
    assert essence(world) == before


def test_every_chart_that_cannot_be_had_is_named_at_once(world: World) -> None:
    def nowhere(item: Component) -> Chart:
        details = "no route" if item.name == "web" else ""
        raise ToolError("CTO-1502", f"chart {item.name} cannot be had", details=details)

    with pytest.raises(ToolError) as caught:
        world.installer(charts=nowhere).install()
    assert (caught.value.code, caught.value.message) == ("CTO-1502", "2 charts cannot be had")
    assert caught.value.details.splitlines() == [
        "chart web cannot be had",
        "no route",
        "chart api cannot be had",
    ]


def test_a_chart_alone_that_cannot_be_had_is_told_as_it_is(world: World) -> None:
    error = ToolError("CTO-1502", "chart api cannot be had")

    def without_api(item: Component) -> Chart:
        if item.name == "api":
            raise error
        return chart(item.name)

    with pytest.raises(ToolError) as caught:
        world.installer(charts=without_api).plan_install()
    assert caught.value is error


def test_the_own_namespace_is_not_waited_for_forever(world: World) -> None:
    world.installer().install()
    held = {
        "name": "held",
        "namespace": "cto-system",
        "finalizers": ["example.com/never"],
        "deletionTimestamp": "2030-01-01T00:00:00Z",
    }
    world.cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": held})
    _, report = world.installer(config=None).uninstall(Options())
    assert report.errors == ()
    assert ObjectRef("v1", "Namespace", "", "cto-system") in world.cluster.everything()
    last = report.runs[-1]
    assert (last.id, last.outcome) == ("namespace:cto-system", Outcome.UNCHANGED)
    assert last.message.startswith("it is being deleted: 0 of 1 gone: Namespace cto-system")
    told = [event.message for event in world.events if isinstance(event, StepProgress)]
    assert told[-1] == "0 of 1 gone: Namespace cto-system"


@pytest.mark.parametrize("labels", [{}, {"app.kubernetes.io/managed-by": "Helm"}])
def test_a_namespace_of_somebody_with_the_name_of_the_own_one_stays(
    world: World, labels: dict[str, str]
) -> None:
    """Even an empty one; nothing was ever installed."""
    metadata = {"name": "cto-system", "labels": labels}
    world.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    before = set(world.cluster.everything())
    plan, report = world.installer(config=None).uninstall(Options())
    assert [step.id for step in plan.steps] == [run.id for run in report.runs] == ["state"]
    assert set(world.cluster.everything()) == before


def test_the_own_namespace_stays_with_what_somebody_put_there_and_is_named(world: World) -> None:
    world.installer().install()
    metadata = {"name": "theirs", "namespace": "cto-system"}
    world.cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    _, report = world.installer(config=None).uninstall(Options())
    found = world.cluster.everything()
    assert ObjectRef("v1", "ConfigMap", "cto-system", "theirs") in found
    assert ObjectRef("v1", "Namespace", "", "cto-system") in found
    last = report.runs[-1]
    assert (last.id, last.outcome) == ("namespace:cto-system", Outcome.UNCHANGED)
    assert last.message == "kept: ConfigMap theirs in cto-system"


def test_a_verb_that_needs_a_configuration_and_has_none_is_a_bug(world: World) -> None:
    with pytest.raises(ValueError, match="needs a configuration"):
        world.installer(config=None).plan_install()


@pytest.mark.parametrize(("turns", "looks"), [(1, 1), (3, 2)])
def test_the_cluster_is_looked_at_again_if_others_had_the_lock_meanwhile(
    world: World, turns: int, looks: int
) -> None:
    """Nobody else took it: it was free, and went to us."""
    world.during_lock = lambda _: world.cluster.add(held(turns))
    world.installer().install()
    assert world.cluster.count("list_metadata", "Namespace") == looks


def test_the_cluster_is_looked_at_again_if_the_lock_was_taken_at_first(world: World) -> None:
    world.cluster.add(held(turns=1))
    world.installer().install()
    # Not its version: a watch that is slow to begin asks for that as well.
    assert world.cluster.count("list_metadata", "Namespace") == 2


def test_what_another_run_left_to_be_done_is_checked_before_it_is_done(world: World) -> None:
    """The run had nothing to do when it looked, and was asked for nothing."""
    world.installer().install()
    world.cluster.add(held(turns=1))
    seen: list[bool] = []

    def preflight(_: Observed, __: DesiredState, ___: Plan) -> list[Check]:
        gone = world.cluster.peek(GLUE_REF) is None
        seen.append(gone)
        status = CheckStatus.FAILED if gone else CheckStatus.PASSED
        return [Check(name="room", title="Room", status=status, message="none is left")]

    def meanwhile(_: Flag) -> None:
        world.cluster.add(held(turns=3))
        world.cluster.remove(GLUE_REF)

    world.during_lock = meanwhile
    installer = world.installer(preflight=preflight)
    with pytest.raises(PreflightError, match="a preflight check failed") as error:
        installer.install()
    assert "none is left" in error.value.details
    assert seen == [False, True]
    assert world.cluster.peek(GLUE_REF) is None


def newer(world: World, version: str = "2.0.0") -> World:
    """Let a platform be installed with another chart of Web."""
    world.charts["web"] = chart("web", version)
    world.installer().install()
    return world


def test_a_downgrade_is_refused_before_anything_changes(world: World) -> None:
    newer(world)
    del world.charts["web"]
    before = essence(world)
    world.releases.calls.clear()
    with pytest.raises(PreflightError) as error:
        world.installer().install()
    assert error.value.code == "CTO-1470"
    assert error.value.details.splitlines()[1:3] == [
        "  Web: CRDs web-2.0.0 -> web-1.0.0 (an older chart)",
        "  Web: release web-2.0.0 -> web-1.0.0 (an older chart)",
    ]
    assert "--allow-downgrade" in error.value.details
    assert "Nothing was changed" in error.value.hint
    assert essence(world) == before
    assert {verb for verb, _ in world.releases.calls} & {"upgrade", "rollback"} == set()


def test_a_downgrade_is_in_the_plan(world: World) -> None:
    newer(world)
    del world.charts["web"]
    plan = world.installer().plan_install()
    assert [check.code for check in plan.checks] == ["CTO-1470"]
    assert "Downgrade Web 1.0.0" in [step.title for step in plan.steps]


def test_a_downgrade_that_is_asked_for_is_done_and_remembered(world: World) -> None:
    newer(world)
    del world.charts["web"]
    plan, report = world.installer(allow_downgrade=True).install()
    assert report.errors == ()
    assert [check.status for check in plan.checks] == [CheckStatus.WARNING]
    assert world.releases.labels("web", "web")["cto.dev/chart"] == "web-1.0.0"
    definition = ObjectRef("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", CRD_NAME)
    labels = world.cluster.everything()[definition]["metadata"]["labels"]
    assert labels["cto.dev/chart"] == "web-1.0.0"
    plan, _ = world.installer().install()
    assert (plan.changes, plan.checks) == ((), ())


def test_a_downgrade_behind_another_run_is_refused_under_the_lock(world: World) -> None:
    """Another installer brought something newer between the look and the lock."""
    world.installer().install()

    def meanwhile(_: Flag) -> None:
        world.during_lock = lambda _: None
        charts, world.charts = world.charts, {"web": chart("web", "2.0.0")}
        world.installer().install()
        world.cluster.add(held(3))
        world.charts = charts

    world.during_lock = meanwhile
    with pytest.raises(PreflightError, match="a preflight check failed") as error:
        world.installer().install()
    assert error.value.code == "CTO-1470"
    assert world.releases.labels("web", "web")["cto.dev/chart"] == "web-2.0.0"


def test_a_release_that_was_handed_over_is_compared_by_the_chart_that_helm_knows(
    world: World,
) -> None:
    """Whoever hands a release over labels its record as ours, and with nothing else."""
    world.releases.put_record("web", "web", labels={"cto.dev/managed": "true"})
    world.releases.charts["web"] = ("web", "2.0.0", "3.1")
    plan = world.installer().plan_install()
    assert "CTO-1470" in [check.code for check in plan.checks]
    step = next(step for step in plan.steps if step.id == "release:web")
    assert step.reason.startswith("downgrade: web-2.0.0 -> web-1.0.0 (an older chart)")
    world.releases.charts["web"] = ("web", "0.9.0", "")
    assert world.installer().plan_install().checks == ()


def test_what_the_preflight_found_is_told_before_what_could_not_be_tried(world: World) -> None:
    world.installer().install()
    world.charts["web"] = chart("web", "2.0.0")
    world.cluster.fail_next("kinds", ApiError("CTO-1602", "may not"), times=9)
    with pytest.raises(ApiError, match="may not"):
        world.installer().plan_install()
    failed = Check(
        name="permissions",
        title="Permissions",
        status=CheckStatus.FAILED,
        message="much is missing",
        code="CTO-1400",
    )
    world.checks = [failed]
    with pytest.raises(PreflightError) as error:
        world.installer().plan_install()
    assert "much is missing" in error.value.details


def test_a_run_that_finds_nothing_to_do_asks_for_nothing_of_the_whole_cluster(world: World) -> None:
    """Others may have thousands of Secrets, pods and nodes."""
    world.installer().install()
    world.cluster.calls.clear()
    plan, _ = world.installer().install()
    assert not plan.changes
    whole = {
        (verb, kind)
        for verb, kind, namespace, _ in world.cluster.calls
        if verb.startswith(("list", "scan", "watch")) and not namespace
    }
    heavy = {"Secret", "Pod", "ConfigMap", "Event"}
    assert not {kind for _, kind in whole} & heavy
    assert ("list", "Node") not in whole
    assert ("scan", "Node") in whole
    assert ("list", "CustomResourceDefinition") not in whole


def test_releases_of_others_are_not_looked_at(world: World) -> None:
    world.releases.put_record("theirs", "elsewhere")
    world.installer().install()
    observed = world.installer().observe()
    assert observed.records
    assert {key.partition("/")[0] for key in observed.records} <= {
        component.namespace for component in world.catalog.components
    }
