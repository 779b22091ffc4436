"""Single steps: each looks first, does what is missing, and says what it did."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from threading import Event as Flag
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.catalog import Crds, GeneratedSecret, Probe
from cto.engine.execute import Executor
from cto.engine.listcache import ObservationCache
from cto.engine.nodeports import ReservedPorts
from cto.engine.secretsteps import supplied_data
from cto.engine.state import NAMESPACE, STATE, StateStore
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError, Cancelled, ToolError, WaitError
from cto.events import Phase
from cto.objects import Manifest, ObjectRef, labels_of, ref_of
from cto.plan import labels
from cto.plan.changes import Action
from cto.plan.observed import State
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
    ProbeService,
    Step,
    SupplySecret,
    UninstallRelease,
    WaitReady,
)
from cto.ports import ReleaseSpec
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.components import chart, config_map
from fakes.controllers import make_ready
from fakes.releases import FakeReleases, Killed, plain_chart
from fakes.world import crd

WEB = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}
WEB_REF = ref_of(WEB)
SPEC = ReleaseSpec(
    name="web",
    namespace="web",
    chart=chart("web"),
    values={},
    labels={labels.DIGEST: "d", labels.CHART: "web-1.0.0", labels.MANAGED: "true"},
)
ADMIN = ObjectRef("v1", "Secret", "web", "admin")
KEYS = ObjectRef("v1", "Secret", "web", "keys")
OLD, NEW = config_map("old", "web"), config_map("new", "web")
HOOK = {"helm.sh/hook": "pre-install"}
KEPT = {"helm.sh/resource-policy": "keep"}
DEPLOYMENT = ObjectRef("apps/v1", "Deployment", "web", "web")


def make(kind: type[Step], **fields: Any) -> Any:
    common = {"id": "x", "phase": Phase.CORE, "title": "Do it", "action": Action.CREATE}
    return kind(**{**common, "component": "web", "timeout_s": 30, **fields})


@dataclass
class Lab:
    """An executor over fakes, in a cluster that has the namespace `web`."""

    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(controllers=[make_ready]))
    clock: FakeClock = field(default_factory=FakeClock)
    values: dict[str, Mapping[str, str]] = field(default_factory=dict)
    crds: list[Manifest] = field(default_factory=list)
    cancel: Flag = field(default_factory=Flag)
    releases: FakeReleases = field(init=False)
    live: WatchCache = field(init=False)
    store: StateStore = field(init=False)
    ports: ReservedPorts = field(init=False)
    observation: ObservationCache = field(init=False)

    def __post_init__(self) -> None:
        self.releases = FakeReleases(self.cluster)
        self.live = WatchCache(self.cluster, self.clock)
        self.store = StateStore(self.cluster, "1.0.0")
        self.ports = ReservedPorts(self.cluster, self.clock)
        self.observation = ObservationCache(self.clock)
        for name in ("web", NAMESPACE):
            metadata = {"name": name}
            self.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        self.store.begin(State(writer="1.0.0", provider="existing", profile="minimal"))

    def run(self, step: Step) -> Any:
        executor = Executor(
            cluster=self.cluster,
            releases=self.releases,
            store=self.store,
            clock=self.clock,
            live=self.live,
            secret_values=lambda path: self.values.get(path, {}),
            crds_of=lambda _: self.crds,
            ports=self.ports,
            observation=self.observation,
        )
        return executor.run(step, self.cancel)

    def finish(self, step: Step) -> str:
        """Run a step that waits, until it is over."""
        return self.over(self.run(step))

    def over(self, wait: Any) -> str:
        while not (verdict := wait.evaluate()).done:
            assert verdict.error is None, verdict.message
            self.live.wait_change(self.live.generation, 0.05)
            self.clock.advance(1)
        return str(verdict.message)

    def data(self, ref: ObjectRef) -> dict[str, str]:
        found = (self.cluster.peek(ref) or {})["data"]
        return {key: base64.b64decode(value).decode() for key, value in found.items()}

    def glue(self) -> set[str]:
        known = self.store.release("web")
        return {ref.name for ref in known.glue} if known else set()


def owned(kind: str, name: str, *owners: tuple[str, str]) -> Manifest:
    """Return an object that was made for others."""
    api_version = "v1" if kind == "Pod" else "apps/v1"
    references = [{"kind": owner, "name": of, "controller": True} for owner, of in owners]
    metadata = {"name": name, "namespace": "web", "ownerReferences": references}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


@pytest.fixture
def lab() -> Iterator[Lab]:
    made = Lab()
    yield made
    made.live.close()


class TestNamespace:
    def test_it_is_applied_with_its_labels(self, lab: Lab) -> None:
        manifest = {**WEB, "metadata": {"name": "new", "labels": {"a": "b"}}}
        assert lab.run(make(EnsureNamespace, manifest=manifest)) == ""
        assert labels_of(lab.cluster.peek(ref_of(manifest)) or {})["a"] == "b"

    def test_one_that_is_still_being_deleted_is_waited_for(self, lab: Lab) -> None:
        held = config_map("held", "web")
        held["metadata"]["finalizers"] = ["example.com/slow"]
        lab.cluster.add(held)
        lab.cluster.delete_quietly(WEB_REF)
        lab.clock.at(3, lambda: lab.cluster.remove(ref_of(held)))
        lab.clock.at(3, lambda: lab.cluster.remove(WEB_REF))
        lab.run(make(EnsureNamespace, manifest=WEB))
        assert lab.clock.monotonic() >= 1003
        assert "deletionTimestamp" not in (lab.cluster.peek(WEB_REF) or {})["metadata"]

    def test_one_that_does_not_go_is_named_after_the_steps_time(self, lab: Lab) -> None:
        held = config_map("held", "web")
        held["metadata"]["finalizers"] = ["example.com/never"]
        lab.cluster.add(held)
        lab.cluster.delete_quietly(WEB_REF)
        with pytest.raises(WaitError) as caught:
            lab.run(make(EnsureNamespace, manifest=WEB))
        assert (caught.value.code, caught.value.message) == (
            "CTO-1709",
            "Namespace web is being deleted, and does not go",
        )

    def test_waiting_for_it_ends_when_the_run_ends(self, lab: Lab) -> None:
        held = config_map("held", "web")
        held["metadata"]["finalizers"] = ["example.com/never"]
        lab.cluster.add(held)
        lab.cluster.delete_quietly(WEB_REF)
        lab.cancel.set()
        with pytest.raises(Cancelled):
            lab.run(make(EnsureNamespace, manifest=WEB))


class TestGeneratedSecret:
    SECRET = GeneratedSecret.model_validate(
        {"name": "admin", "keys": {"user": {"value": "admin"}, "password": {"random": 32}}}
    )
    STEP = make(GenerateSecret, namespace="web", secret=SECRET)

    def test_it_has_fixed_and_random_values_and_our_labels(self, lab: Lab) -> None:
        assert lab.run(self.STEP) == ""
        data = lab.data(ADMIN)
        assert data["user"] == "admin"
        assert len(data["password"]) == 32
        assert data["password"].isalnum()
        assert labels_of(lab.cluster.peek(ADMIN) or {}) == {
            labels.MANAGED_BY: labels.OWNER,
            labels.COMPONENT: "web",
        }

    def test_no_two_are_alike(self, lab: Lab) -> None:
        lab.run(self.STEP)
        first = lab.data(ADMIN)
        lab.cluster.remove(ADMIN)
        lab.run(self.STEP)
        assert lab.data(ADMIN)["password"] != first["password"]

    def test_one_that_is_there_is_never_changed(self, lab: Lab) -> None:
        lab.run(self.STEP)
        first = lab.data(ADMIN)
        assert lab.run(self.STEP) == "was there already"
        assert lab.data(ADMIN) == first

    def test_entries_that_are_new_get_keys_and_those_of_before_keep_theirs(self, lab: Lab) -> None:
        keys = {"*": {"random": 32}}
        given = {"name": "admin", "keys": keys, "entries": "agents"}
        secret = GeneratedSecret.model_validate(given)
        assert lab.run(replace(self.STEP, secret=secret.of(["rex"]))) == ""
        first = lab.data(ADMIN)
        assert lab.run(replace(self.STEP, secret=secret.of(["rex"]))) == "was there already"
        more = lab.run(replace(self.STEP, secret=secret.of(["cleo", "rex"])))
        assert more == "now for cleo, too"
        # Who is switched off, or on again, finds the same.
        lab.run(replace(self.STEP, secret=secret.of(["cleo"])))
        assert lab.data(ADMIN).keys() == {"cleo", "rex"}
        assert lab.data(ADMIN)["rex"] == first["rex"] != lab.data(ADMIN)["cleo"]

    def test_another_refusal_is_an_error(self, lab: Lab) -> None:
        lab.cluster.fail_next("create", ApiError("CTO-1605", "a policy", status=403))
        with pytest.raises(ApiError) as caught:
            lab.run(self.STEP)
        assert caught.value.code == "CTO-1605"


class TestSuppliedSecret:
    STEP = make(
        SupplySecret,
        namespace="web",
        name="keys",
        type="example.com/keys",
        keys={"*_API_KEY": "providers.*", "hook": "github.webhook_secret"},
    )

    def test_it_gets_the_values_that_were_given_and_no_others(self, lab: Lab) -> None:
        lab.values = {"providers.*": {"x-ai": "one", "anthropic": "two"}}
        assert lab.run(self.STEP) == ""
        assert lab.data(KEYS) == {"X_AI_API_KEY": "one", "ANTHROPIC_API_KEY": "two"}
        assert (lab.cluster.peek(KEYS) or {})["type"] == "example.com/keys"

    def test_the_same_values_are_not_written_again(self, lab: Lab) -> None:
        lab.values = {"github.webhook_secret": {"": "one"}}
        lab.run(self.STEP)
        lab.cluster.calls.clear()
        assert lab.run(self.STEP) == "unchanged"
        assert lab.cluster.count("apply") == 0

    def test_another_value_is_written(self, lab: Lab) -> None:
        lab.values = {"github.webhook_secret": {"": "one"}}
        lab.run(self.STEP)
        lab.values = {"github.webhook_secret": {"": "two"}}
        assert lab.run(self.STEP) == ""
        assert lab.data(KEYS) == {"hook": "two"}

    def test_a_secret_without_data_is_filled(self, lab: Lab) -> None:
        lab.cluster.add(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "keys", "namespace": "web"},
            }
        )
        lab.values = {"github.webhook_secret": {"": "one"}}
        lab.run(self.STEP)
        assert lab.data(KEYS) == {"hook": "one"}


NAMES = st.text("abz-_9", min_size=1, max_size=5)


@given(st.dictionaries(NAMES, st.text(max_size=4), max_size=4))
def test_a_star_stands_for_every_name_in_upper_case(values: dict[str, str]) -> None:
    """Names that differ in `-` and `_` alone are one variable: the last one counts."""
    data = supplied_data({"*_KEY": "providers.*"}, lambda _: values)
    assert set(data) == {f"{name.upper().replace('-', '_')}_KEY" for name in values}
    assert set(data.values()) <= set(values.values())


WORDS = st.sampled_from("abcde")


@given(st.dictionaries(WORDS, WORDS, max_size=4), st.sets(WORDS))
def test_a_key_without_a_value_is_left_out(keys: dict[str, str], given_paths: set[str]) -> None:
    data = supplied_data(keys, lambda path: {"": path} if path in given_paths else {})
    assert data == {key: path for key, path in keys.items() if path in given_paths}


class TestDefinitions:
    STEP = make(ApplyCrds, release=SPEC, crds=Crds(source="crds"), digest="abc")

    def test_they_carry_digest_and_number_and_are_waited_for(self, lab: Lab) -> None:
        lab.crds = [crd("webs.example.com", "Web"), crd("apis.example.com", "Api")]
        lab.finish(self.STEP)
        for manifest in lab.crds:
            found = labels_of(lab.cluster.peek(ref_of(manifest)) or {})
            assert found[labels.DIGEST] == "abc"
            assert found[labels.CRD_COUNT] == "2"
            assert found[labels.COMPONENT] == "web"

    def test_one_that_is_not_established_is_waited_for(self, lab: Lab) -> None:
        lab.crds = [crd("webs.example.com", "Web")]
        lab.cluster.controllers.append(
            lambda made: made.update(status={"conditions": []}) if "spec" in made else None
        )
        wait = lab.run(self.STEP)
        assert not wait.evaluate().done


class TestGlue:
    def test_it_is_applied_recorded_and_pruned_by_the_list(self, lab: Lab) -> None:
        assert lab.run(make(ApplyManifests, manifests=(OLD, NEW))) == ""
        assert lab.glue() == {"old", "new"}
        step = make(ApplyManifests, manifests=(NEW,), prune=(ref_of(OLD),))
        assert lab.run(step) == "pruned 1"
        assert lab.glue() == {"new"}
        assert lab.cluster.peek(ref_of(OLD)) is None

    def test_a_kill_before_the_pruning_loses_track_of_nothing(self, lab: Lab) -> None:
        lab.run(make(ApplyManifests, manifests=(OLD,)))
        lab.cluster.fail_next("delete", ApiError("CTO-1601", "gone"))
        with pytest.raises(ApiError):
            lab.run(make(ApplyManifests, manifests=(NEW,), prune=(ref_of(OLD),)))
        assert lab.glue() == {"old", "new"}

    def test_nothing_new_is_not_recorded_again(self, lab: Lab) -> None:
        lab.run(make(ApplyManifests, manifests=(NEW,)))
        lab.cluster.calls.clear()
        lab.run(make(ApplyManifests, manifests=(NEW,)))
        assert lab.cluster.count("update") == 0


class TestRelease:
    STEP = make(ApplyRelease, release=SPEC)

    def test_its_inventory_is_recorded_with_the_namespaces_of_the_api(self, lab: Lab) -> None:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        lab.releases.render["web"] = lambda spec: (
            *plain_chart(spec),
            {**role, "metadata": {"name": "web"}, "rules": []},
        )
        assert lab.run(self.STEP) == ""
        known = lab.store.release("web")
        assert known
        assert (known.digest, known.chart, known.namespace) == ("d", "web-1.0.0", "web")
        assert DEPLOYMENT in known.objects
        cluster_role = ObjectRef("rbac.authorization.k8s.io/v1", "ClusterRole", "", "web")
        assert cluster_role in known.objects

    def test_ports_that_a_killed_request_left_reserved_are_waited_for(self, lab: Lab) -> None:
        refusal = "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"
        lab.releases.fail("web", refusal)
        invalid = ApiError("CTO-1605", "invalid", reason="Invalid")
        lab.cluster.fail_next("create", invalid, kind="Service", times=2)
        assert lab.run(self.STEP) == ""
        assert sum(lab.clock.waits) == 10
        assert [name for name, _ in lab.releases.calls].count("upgrade") == 2

    def test_other_failures_of_helm_are_told(self, lab: Lab) -> None:
        lab.releases.fail("web")
        with pytest.raises(ToolError, match="helm ended with code 1"):
            lab.run(self.STEP)

    def test_glue_that_is_known_stays_known(self, lab: Lab) -> None:
        lab.run(make(ApplyManifests, manifests=(NEW,)))
        lab.run(self.STEP)
        assert lab.glue() == {"new"}

    def test_a_half_done_one_is_mended_first_and_that_is_said(self, lab: Lab) -> None:
        lab.releases.put_record("web", "web", revision=1, status="pending-install")
        assert lab.run(self.STEP) == "removed a half-made installation"
        assert [call[0] for call in lab.releases.calls] == ["status", "uninstall", "upgrade"]

    @pytest.mark.parametrize("action", [Action.UPDATE, Action.REPAIR])
    def test_before_an_update_deployments_are_made_fit_for_it(
        self, lab: Lab, action: Action
    ) -> None:
        """And only then: rendering a chart once more takes a second."""
        lab.run(self.STEP)

        def recreating(spec: ReleaseSpec) -> tuple[Manifest, ...]:
            values, workload = plain_chart(spec)
            workload["spec"]["strategy"] = {"type": "Recreate"}
            return values, workload

        lab.releases.render["web"] = recreating
        lab.releases.calls.clear()
        lab.run(make(ApplyRelease, release=SPEC, action=action))
        rendered = action is Action.UPDATE
        found = [verb for verb, _ in lab.releases.calls]
        assert found == ["status", *["template"] * rendered, "upgrade"]
        assert lab.cluster.count("update", "Deployment") == int(rendered)

    def test_readiness_is_that_of_the_plan_or_else_of_the_record(self, lab: Lab) -> None:
        lab.run(self.STEP)
        assert lab.finish(make(WaitReady, namespace="web")) == "1 of 1 ready"
        assert lab.finish(make(WaitReady, namespace="web", objects=(DEPLOYMENT,))) == "1 of 1 ready"

    def test_a_component_of_which_nothing_is_known_is_ready(self, lab: Lab) -> None:
        assert lab.run(make(WaitReady, namespace="web")).evaluate().done


class TestProbe:
    PROBE = Probe(service="web", port=80, path="/healthz")
    STEP = make(ProbeService, namespace="web", probe=PROBE)

    @pytest.fixture(autouse=True)
    def service(self, lab: Lab) -> None:
        metadata = {"name": "web", "namespace": "web"}
        lab.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata})

    @pytest.mark.parametrize("status", [200, 204, 302, 399])
    def test_a_good_answer_is_told(self, lab: Lab, status: int) -> None:
        lab.cluster.probes["web", "web"] = status
        assert lab.run(self.STEP) == f"{status} from /healthz"

    def test_it_is_asked_again_until_it_answers(self, lab: Lab) -> None:
        lab.clock.at(5, lambda: lab.cluster.probes.update({("web", "web"): 200}))
        lab.run(self.STEP)
        assert lab.clock.monotonic() >= 1005

    def test_a_program_that_lets_the_server_wait_is_asked_again(self, lab: Lab) -> None:
        lab.cluster.probes["web", "web"] = 200
        lab.cluster.fail_next("probe", ApiError("CTO-1601", "no answer"), times=2)
        assert lab.run(self.STEP) == "200 from /healthz"

    def test_where_the_server_refuses_to_ask_the_step_ends_at_once(self, lab: Lab) -> None:
        lab.cluster.fail_next("probe", ApiError("CTO-1602", "forbidden", status=403))
        with pytest.raises(ApiError, match="forbidden"):
            lab.run(self.STEP)

    @pytest.mark.parametrize("status", [199, 400, 404, 503])
    def test_no_good_answer_in_the_steps_time_is_an_error(self, lab: Lab, status: int) -> None:
        lab.cluster.probes["web", "web"] = status
        with pytest.raises(WaitError) as caught:
            lab.run(self.STEP)
        assert caught.value.message == "Do it: no good answer from web:80/healthz"

    def test_asking_ends_when_the_run_ends(self, lab: Lab) -> None:
        lab.cancel.set()
        with pytest.raises(Cancelled):
            lab.run(self.STEP)


class TestRemoval:
    def test_objects_are_deleted_and_seen_to_go(self, lab: Lab) -> None:
        lab.cluster.add(OLD)
        lab.finish(make(DeleteObjects, objects=(ref_of(OLD), ref_of(NEW))))
        assert lab.cluster.peek(ref_of(OLD)) is None

    def test_an_object_with_a_finalizer_is_waited_for(self, lab: Lab) -> None:
        held = {**OLD, "metadata": {**OLD["metadata"], "finalizers": ["example.com/f"]}}
        lab.cluster.add(held)
        wait = lab.run(make(DeleteObjects, objects=(ref_of(OLD),)))
        assert not wait.evaluate().done

    def test_a_release_goes_with_what_its_hooks_made_but_not_with_what_it_keeps(
        self, lab: Lab
    ) -> None:
        """Helm leaves hooks behind; what the chart wants to keep is not waited for."""

        def annotated(name: str, annotations: Mapping[str, str]) -> Manifest:
            made = config_map(name, "web")
            made["metadata"]["annotations"] = dict(annotations)
            return made

        hook, kept = annotated("hook", HOOK), annotated("kept", KEPT)
        lab.releases.render["web"] = lambda spec: (*plain_chart(spec), hook, kept)
        lab.run(make(ApplyRelease, release=SPEC))
        lab.cluster.add(hook)
        lab.finish(make(UninstallRelease, release="web", namespace="web"))
        assert lab.cluster.peek(DEPLOYMENT) is None
        assert lab.cluster.peek(ref_of(hook)) is None
        assert lab.cluster.peek(ref_of(kept)) is not None

    def test_what_hooks_of_earlier_revisions_left_goes_too(self, lab: Lab) -> None:
        """Also if a run died between Helm's end and that of what it leaves."""
        hook = config_map("hook", "web")
        hook["metadata"]["annotations"] = dict(HOOK)
        lab.releases.render["web"] = lambda spec: (*plain_chart(spec), hook)
        lab.run(make(ApplyRelease, release=SPEC))
        lab.cluster.add(hook)
        lab.releases.render["web"] = plain_chart
        lab.run(make(ApplyRelease, release=SPEC))
        lab.releases.uninstall("web", "web", timeout_s=1, wait=False)
        lab.finish(make(UninstallRelease, release="web", namespace="web"))
        assert lab.cluster.peek(ref_of(hook)) is None

    def test_a_removal_that_dies_leaves_word_of_what_hooks_made(self, lab: Lab) -> None:
        """Also where the state is of a version that did not write it down."""
        hook = config_map("hook", "web")
        hook["metadata"]["annotations"] = dict(HOOK)
        lab.releases.render["web"] = lambda spec: (*plain_chart(spec), hook)
        lab.run(make(ApplyRelease, release=SPEC))
        known = lab.store.release("web")
        assert known
        lab.store.record(replace(known, hooks=()))
        lab.releases.die("web", at="applied")
        with pytest.raises(Killed):
            lab.run(make(UninstallRelease, release="web", namespace="web"))
        assert lab.store.release("web") == replace(known, hooks=(ref_of(hook),))

    def test_a_release_is_gone_when_its_pods_are(self, lab: Lab) -> None:
        """The API server lets a workload go first, and a program may take long to end."""
        lab.run(make(ApplyRelease, release=SPEC))
        pods = [owned("Pod", "web-0", ("ReplicaSet", "web-1")), owned("Pod", "other-0")]
        for manifest in (owned("ReplicaSet", "web-1", ("Deployment", "web")), *pods):
            lab.cluster.add(manifest)
        wait = lab.run(make(UninstallRelease, release="web", namespace="web"))
        assert lab.cluster.peek(DEPLOYMENT) is None
        assert not wait.evaluate().done
        lab.cluster.delete(ref_of(pods[0]))
        lab.over(wait)

    def test_a_custom_resource_is_gone_when_the_pods_are_that_were_made_for_it(
        self, lab: Lab
    ) -> None:
        lab.cluster.add(crd("buses.example.com", "Bus"))
        bus = {"apiVersion": "example.com/v1", "kind": "Bus", "metadata": OLD["metadata"]}
        lab.cluster.add(bus)
        for manifest in (
            owned("StatefulSet", "bus", ("Bus", "old")),
            owned("Pod", "bus-0", ("StatefulSet", "bus")),
        ):
            lab.cluster.add(manifest)
        wait = lab.run(make(DeleteObjects, objects=(ref_of(bus),)))
        assert lab.cluster.peek(ref_of(bus)) is None
        assert not wait.evaluate().done

    def test_a_release_that_is_not_there_is_gone(self, lab: Lab) -> None:
        step = make(UninstallRelease, release="web", namespace="web")
        assert lab.run(step).evaluate().done

    def test_an_empty_namespace_goes(self, lab: Lab) -> None:
        lab.finish(make(DeleteNamespace, namespace="web"))
        assert lab.cluster.peek(WEB_REF) is None

    @pytest.mark.parametrize(("count", "more"), [(1, ""), (3, ""), (5, " and 2 more")])
    def test_a_namespace_with_something_in_it_stays(self, lab: Lab, count: int, more: str) -> None:
        for number in range(count):
            lab.cluster.add(config_map(f"c{number}", "web"))
        shown = ", ".join(f"ConfigMap c{number} in web" for number in range(min(count, 3)))
        assert lab.run(make(DeleteNamespace, namespace="web")) == f"kept: {shown}{more}"
        assert lab.cluster.peek(WEB_REF) is not None

    def test_a_component_is_forgotten_and_at_the_end_everything(self, lab: Lab) -> None:
        lab.run(make(ApplyManifests, manifests=(NEW,)))
        lab.run(make(DeleteState, components=("web",), everything=False))
        assert lab.store.release("web") is None
        assert lab.cluster.peek(STATE) is not None
        lab.run(make(DeleteState))
        assert lab.cluster.peek(STATE) is None


def test_a_note_tells_its_reason(lab: Lab) -> None:
    assert lab.run(make(Note, reason="mode is external: yours is used")) == (
        "mode is external: yours is used"
    )


def test_a_step_that_nobody_knows_is_a_bug(lab: Lab) -> None:
    with pytest.raises(TypeError, match="no way to run"):
        lab.run(make(Step))
