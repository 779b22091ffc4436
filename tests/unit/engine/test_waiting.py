"""Waits say what is missing and why, and end early on what cannot heal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cto.engine.gone import GoneWait
from cto.engine.hooks import HookWatch, ProgramWatch
from cto.engine.verdict import Verdict, Wait
from cto.engine.waiting import ReadyWait
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError
from cto.objects import Manifest, ObjectRef, ref_of
from fakes.cluster import FakeCluster
from fakes.controllers import make_ready
from fakes.handclock import HandClock
from fakes.workloads import (
    NS,
    claim,
    crashing,
    deployment,
    ended,
    failed,
    job,
    manifest,
    pod,
    stateful_set,
    storage_class,
    waiting,
)
from fakes.world import crd

CONFIG = manifest("ConfigMap", "settings")
MISSING_IMAGE = waiting("ImagePullBackOff", "quay.io/x:y: not found")
SILENT = ApiError("CTO-1601", "no answer")


class World:
    """A cluster, and a live view of it."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.clock = HandClock()
        self.live = WatchCache(self.cluster, self.clock, pause_s=0.001)

    def ready(self, *objects: Manifest) -> ReadyWait:
        refs = [ref_of(manifest) for manifest in objects]
        return ReadyWait(refs, self.live, self.cluster, self.clock)

    def gone(self, *objects: Manifest) -> GoneWait:
        refs = [ref_of(manifest) for manifest in objects]
        return GoneWait(refs, self.live, self.cluster, self.clock)

    def hooks(self, release: str = "") -> HookWatch:
        return HookWatch(NS, self.live, self.clock, release=release)

    def add(self, *objects: Manifest) -> None:
        for made in objects:
            self.cluster.add(made)

    def until(self, wait: Wait, true: Callable[[Verdict], bool]) -> Verdict:
        """Evaluate at every change, as the engine does, until something is true."""
        verdict = Verdict(done=False, message="nothing was asked")
        for _ in range(300):
            seen = self.live.generation
            verdict = wait.evaluate()
            if true(verdict):
                return verdict
            self.live.wait_change(seen, 10)
        pytest.fail(f"it did not become true: {verdict}")

    def stay(self, wait: Wait, seconds: int) -> Verdict:
        """Let time pass as the engine does: with a look at every second."""
        verdict = Verdict(done=False, message="no time passed")
        for _ in range(seconds):
            self.clock.advance(1)
            verdict = wait.evaluate()
            self.settle()
        return verdict

    def settle(self) -> None:
        """Let what was asked be answered: this clock does not wait for anybody."""
        while True:
            seen = self.live.generation
            if not self.live._questions._pending:
                return
            self.live.wait_change(seen, 10)

    def heal(self, made: Manifest) -> None:
        live = self.cluster.peek(ref_of(made))
        assert live is not None
        make_ready(live)
        self.cluster.set_status(ref_of(made), live["status"])

    def says(self, wait: Wait, text: str) -> Verdict:
        return self.until(wait, lambda verdict: text in verdict.message)

    def done(self, wait: Wait) -> Verdict:
        return self.until(wait, lambda verdict: verdict.done)

    def fails(self, wait: Wait) -> Verdict:
        return self.until(wait, lambda verdict: verdict.error is not None)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.live.close()


def test_nothing_to_wait_for_is_done(world: World) -> None:
    assert world.ready().evaluate() == Verdict(done=True, message="objects exist")


def test_wait_is_done_when_everything_exists_and_is_ready(world: World) -> None:
    made = deployment()
    wait = world.ready(made, CONFIG)
    assert not wait.evaluate().done
    found = world.until(wait, lambda verdict: len(verdict.missing) == 2)
    assert found.message == "0 of 1 ready: ConfigMap settings in argocd is missing"
    world.add(made)
    world.until(wait, lambda verdict: len(verdict.missing) == 1)
    world.add(CONFIG)
    world.clock.advance(1)
    world.says(wait, "0 of 1 ready: Deployment server 0/1 ready")
    world.heal(made)
    assert world.done(wait).message == "1 of 1 ready"


def test_existence_is_asked_once_and_again_only_while_something_is_missing(world: World) -> None:
    world.add(CONFIG, deployment())
    wait = world.ready(CONFIG, manifest("ConfigMap", "other"), deployment())
    world.until(wait, lambda verdict: len(verdict.missing) == 1)
    asked = world.cluster.count("list_metadata")
    for _ in range(5):
        wait.evaluate()
    assert world.cluster.count("list_metadata") == asked == 1
    world.add(manifest("ConfigMap", "other"))
    world.clock.advance(2)
    world.until(wait, lambda verdict: not verdict.missing)
    world.clock.advance(60)
    wait.evaluate()
    assert world.cluster.count("list_metadata") == 2


def test_secrets_are_never_read_to_see_whether_they_exist(world: World) -> None:
    secret = manifest("Secret", "token", data={"password": "aHVudGVyMg=="})
    world.add(secret)
    world.done(world.ready(secret))
    verbs = {call[0] for call in world.cluster.calls if call[1] == "Secret"}
    assert verbs == {"list_metadata"}


def test_live_cause_is_shown_and_ends_the_wait_when_patience_is_over(world: World) -> None:
    made = deployment()
    world.add(made, pod(made, MISSING_IMAGE))
    wait = world.ready(made)
    text = "pod server-6b7f-x: ImagePullBackOff: quay.io/x:y not found"
    assert world.says(wait, text).error is None
    assert world.stay(wait, 19).error is None
    error = world.stay(wait, 1).error
    assert error is not None
    assert (error.code, error.exit_code, error.message) == ("CTO-1701", 7, text)


def test_what_cannot_heal_at_all_ends_the_wait_at_once(world: World) -> None:
    made = deployment()
    world.add(made, pod(made, waiting("InvalidImageName", image="A B")))
    assert "InvalidImageName" in world.fails(world.ready(made)).message


def test_cause_that_heals_is_forgotten(world: World) -> None:
    made = deployment()
    failing = pod(made, MISSING_IMAGE)
    world.add(made, failing)
    wait = world.ready(made)
    world.says(wait, "not found")
    world.clock.advance(10)
    world.cluster.set_status(ref_of(failing), {"phase": "Running"})
    world.says(wait, "0 of 1 ready: Deployment server 0/1 ready")
    world.stay(wait, 16)
    world.cluster.set_status(ref_of(failing), failing["status"])
    world.says(wait, "not found")
    assert world.stay(wait, 19).error is None
    # As long as it has failed, so long it may take until the next try: 26 s more.
    assert world.stay(wait, 30).error is not None


def test_several_causes_are_counted(world: World) -> None:
    first, second = deployment("a"), deployment("b")
    world.add(first, second, pod(first, MISSING_IMAGE), pod(second, crashing()))
    verdict = world.says(world.ready(first, second), "(and 1 more)")
    assert verdict.message.startswith("pod a-6b7f-x: ImagePullBackOff")


def test_trouble_of_other_objects_in_the_namespace_is_not_ours(world: World) -> None:
    mine, other = deployment("mine"), deployment("other")
    world.add(mine, other, pod(other, waiting("InvalidImageName")))
    verdict = world.says(world.ready(mine), "0 of 1 ready: Deployment mine 0/1 ready")
    assert verdict.error is None


def test_last_log_line_of_a_crash_appears_as_soon_as_it_is_there(world: World) -> None:
    made = deployment()
    world.cluster.container_logs[(NS, "server-6b7f-x", "main", True)] = "no database"
    world.add(made, pod(made, crashing()))
    world.says(world.ready(made), "3 restarts, last line: no database")


def test_job_that_was_complete_stays_so_when_its_time_to_live_is_over(world: World) -> None:
    made, late = job(conditions=[{"type": "Complete", "status": "True"}]), deployment()
    world.add(made, late)
    wait = world.ready(made, late)
    world.says(wait, "1 of 2 ready: Deployment server")
    world.cluster.remove(ref_of(made))
    world.heal(late)
    assert world.done(wait).missing == ()


def test_claim_that_nobody_uses_yet_is_ready(world: World) -> None:
    made = claim(storageClassName="local")
    world.add(made, storage_class(mode="WaitForFirstConsumer"))
    world.done(world.ready(made))


def test_definitions_are_asked_for_until_they_are_established(world: World) -> None:
    made = crd("things.example.com", "Thing")
    other = deployment()
    world.add({**made, "status": {"conditions": []}}, other)
    wait = world.ready(made, other)
    world.says(wait, "0 of 2 ready")
    world.cluster.set_status(
        ref_of(made), {"conditions": [{"type": "Established", "status": "True"}]}
    )
    world.clock.advance(1)
    world.says(wait, "1 of 2 ready: Deployment")
    asked = world.cluster.count("kinds")
    world.clock.advance(5)
    wait.evaluate()
    assert world.cluster.count("kinds") == asked
    # One costs the API server more than all other questions of a wait together.
    assert world.cluster.count("get") == 0
    assert world.cluster.count("watch", "CustomResourceDefinition") == 0


def test_a_definition_is_looked_at_when_it_takes_long(world: World) -> None:
    made = crd("things.example.com", "Thing")
    wait = world.ready(made)
    world.clock.advance(3)
    world.until(wait, lambda verdict: ref_of(made) in verdict.missing)
    taken = {"type": "NamesAccepted", "status": "False", "message": "Thing is taken"}
    world.add({**made, "status": {"conditions": [taken]}})
    world.clock.advance(1)
    world.says(wait, "Thing is taken")


def test_custom_resources_are_followed_to_the_pods_of_their_operators(world: World) -> None:
    made = manifest(
        "EventBus",
        "bus",
        api_version="argoproj.io/v1alpha1",
        status={"conditions": [{"type": "Ready", "status": "False"}]},
    )
    middle = stateful_set("bus-js")
    middle["metadata"]["ownerReferences"] = [{"kind": "EventBus", "name": "bus"}]
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "eventbus.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": "EventBus", "plural": "eventbus"},
            "versions": [{"name": "v1alpha1"}],
        },
    }
    world.add(definition, made, middle, pod(middle, MISSING_IMAGE))
    world.says(world.ready(made), "pod bus-js-x: ImagePullBackOff")


@pytest.mark.parametrize("verb", ["watch", "list_metadata"])
def test_refusal_of_the_api_ends_the_wait(world: World, verb: str) -> None:
    error = ApiError("CTO-1602", "cannot list", status=403)
    world.cluster.fail_next(verb, error, times=1000)
    assert world.fails(world.ready(deployment(), CONFIG)).error is error


def test_silence_of_the_api_is_shown_and_waited_out(world: World) -> None:
    world.cluster.fail_next("list_metadata", SILENT)
    world.add(CONFIG)
    wait = world.ready(CONFIG)
    world.says(wait, "the API server has not answered for a few seconds")
    world.clock.advance(1)
    world.done(wait)


def test_silence_is_shown_instead_of_what_was_known_before(world: World) -> None:
    made = deployment()
    world.add(made)
    wait = world.ready(made)
    world.says(wait, "0/1 ready")
    world.cluster.fail_next("server_version", SILENT, times=1000)
    world.clock.advance(7)
    world.says(wait, "the API server has not answered for a few seconds")


def test_unchanged_cluster_is_not_judged_again(world: World) -> None:
    made = deployment()
    world.add(made)
    wait = world.ready(made)
    world.says(wait, "0/1 ready")
    # Why it is not ready is looked for from now on: that is news, too.
    evidence = (("v1", "Pod"), ("v1", "Event"))
    world.until(wait, lambda _: all(world.live.synced(*kind, NS) for kind in evidence))
    verdict = wait.evaluate()
    assert wait.evaluate() is verdict
    world.clock.advance(1)
    again = wait.evaluate()
    assert again is not verdict
    assert again == verdict


def hook(name: str = "hook", *, kind: Callable[..., Manifest] = job, **more: Any) -> Manifest:
    made = kind(name, **more)
    made["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
    return made


def synced(world: World, watch: HookWatch) -> HookWatch:
    """Let a watch look at what there is before Helm begins."""
    world.until(
        watch,
        lambda _: all(
            world.live.synced(*kind, NS) for kind in (("batch/v1", "Job"), ("v1", "Pod"))
        ),
    )
    world.until(watch, lambda _: watch._old is not None)
    return watch


def test_hook_in_flight_shows_what_it_waits_for(world: World) -> None:
    watch = synced(world, world.hooks())
    assert watch.evaluate() == Verdict(done=False, message="")
    made = hook()
    world.add(made)
    world.says(watch, "hook Job hook: 0/1 complete")
    world.add(pod(made, MISSING_IMAGE))
    world.says(watch, "hook pod hook-x: ImagePullBackOff: quay.io/x:y not found")
    verdict = world.stay(watch, 20)
    assert verdict.error is not None
    assert verdict.message.startswith("hook pod")


def test_hook_that_failed_is_told_with_its_last_line_after_helm_had_its_time(world: World) -> None:
    watch = synced(world, world.hooks())
    made = hook(conditions=[failed()])
    world.cluster.container_logs[(NS, "hook-x", "main", False)] = "no API"
    world.add(pod(made, {"name": "main", "state": ended(1)}, phase="Failed"), made)
    assert world.says(watch, "exit code 1 (Error), last line: no API").error is None
    world.clock.advance(5)
    error = world.fails(watch).error
    assert error is not None
    assert error.code == "CTO-1704"


def test_a_failed_hook_is_remembered_when_helm_has_deleted_it(world: World) -> None:
    watch = synced(world, world.hooks())
    assert watch.evaluate().failed is None
    made = hook(conditions=[failed()])
    world.add(made)
    world.says(watch, "hook Job hook: failed")
    world.cluster.delete(ref_of(made))
    gone = world.until(watch, lambda verdict: verdict.message == "")
    assert gone.failed is not None
    assert gone.failed.code == "CTO-1704"


def test_pods_can_be_hooks(world: World) -> None:
    watch = synced(world, world.hooks())
    made = manifest("Pod", "p", status={"phase": "Pending"})
    made["metadata"]["annotations"] = {"helm.sh/hook": "pre-install"}
    world.add(made)
    world.says(watch, "hook Pod p: Pending")


def test_what_is_no_hook_of_the_release_is_not_looked_at(world: World) -> None:
    watch = synced(world, world.hooks("argocd"))
    other = hook("other")
    other["metadata"]["labels"] = {"app.kubernetes.io/instance": "grafana"}
    mine = hook("mine")
    mine["metadata"]["labels"] = {"app.kubernetes.io/instance": "argocd"}
    world.add(job("plain"), other, mine)
    world.says(watch, "hook Job mine")
    world.cluster.remove(ref_of(mine))
    world.until(watch, lambda verdict: verdict.message == "")


def test_hook_that_an_earlier_run_left_is_no_failure_of_this_one(world: World) -> None:
    over, stuck = hook("over", conditions=[failed()]), hook("stuck")
    world.add(over, stuck, pod(stuck, MISSING_IMAGE))
    watch = synced(world, world.hooks())
    world.clock.advance(19)
    assert watch.evaluate() == Verdict(done=False, message="")
    world.clock.advance(2)
    world.says(watch, "hook pod stuck-x: ImagePullBackOff")


def test_hooks_are_not_judged_while_the_api_is_silent(world: World) -> None:
    watch = synced(world, world.hooks())
    world.cluster.fail_next("server_version", SILENT, times=1000)
    world.clock.advance(6)
    world.says(watch, "the API server has not answered")


def test_who_may_not_look_at_hooks_waits_for_helm_without_a_cause(world: World) -> None:
    """Only Helm has to succeed; what stands in the way is told if it can be seen."""
    world.cluster.fail_next("watch", ApiError("CTO-1602", "no jobs", status=403), times=1000)
    world.says(world.hooks(), "no jobs")


def test_who_may_not_look_at_causes_waits_without_them(world: World) -> None:
    made = deployment()
    world.add(made)
    refused = ApiError("CTO-1602", "no events", status=403)
    world.cluster.fail_next("watch", refused, kind="Event", times=1000)
    world.cluster.fail_next("watch", refused, kind="Pod", times=1000)
    wait = world.ready(made)
    world.says(wait, "0 of 1 ready")
    world.clock.advance(5)
    assert wait.evaluate().error is None


def test_gone_wait_is_done_when_nothing_is_left(world: World) -> None:
    world.add(CONFIG)
    wait = world.gone(CONFIG, deployment())
    world.says(wait, "1 of 2 gone: ConfigMap settings")
    world.cluster.remove(ref_of(CONFIG))
    world.clock.advance(1)
    assert world.done(wait).message == "2 of 2 gone"


def test_object_that_was_made_anew_counts_as_gone(world: World) -> None:
    world.add(CONFIG)
    wait = world.gone(CONFIG)
    world.says(wait, "0 of 1 gone")
    world.cluster.remove(ref_of(CONFIG))
    world.add(CONFIG)
    world.clock.advance(1)
    world.done(wait)


def test_finalizer_that_holds_a_deletion_is_named_and_ends_the_wait_at_last(world: World) -> None:
    made = deployment()
    made["metadata"]["finalizers"] = ["example.com/guard"]
    world.add(CONFIG, made)
    world.cluster.delete(ref_of(made))
    wait = world.gone(CONFIG, made)
    text = "Deployment server held by finalizer example.com/guard"
    assert world.says(wait, text).error is None
    assert world.stay(wait, 60).error is None
    error = world.stay(wait, 60).error
    assert error is not None
    assert error.code == "CTO-1709"


def test_namespace_says_what_is_left_in_it(world: World) -> None:
    conditions = [
        {"type": "NamespaceContentRemaining", "status": "True", "message": "2 pods are left"}
    ]
    made = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "old"},
        "status": {"phase": "Terminating", "conditions": conditions},
    }
    world.add(made)
    world.says(world.gone(made), "0 of 1 gone: Namespace old 2 pods are left")


def test_gone_wait_outlives_silence_and_ends_on_refusal(world: World) -> None:
    world.add(CONFIG)
    world.cluster.fail_next("list_metadata", SILENT)
    wait = world.gone(CONFIG)
    world.says(wait, "the API server has not answered")
    world.cluster.fail_next("list_metadata", ApiError("CTO-1602", "cannot list", status=403))
    world.clock.advance(1)
    assert world.fails(wait).message == "cannot list"


def test_error_of_our_own_is_not_swallowed(world: World) -> None:
    world.cluster.fail_next("list_metadata", ZeroDivisionError())
    wait = world.ready(CONFIG)
    with pytest.raises(ZeroDivisionError):
        world.until(wait, lambda verdict: verdict.done)


def test_cause_that_comes_and_goes_goes_on_counting(world: World) -> None:
    made = deployment()
    failing = pod(made, MISSING_IMAGE)
    world.add(made, failing)
    wait = world.ready(made)
    world.says(wait, "not found")
    world.stay(wait, 10)
    world.cluster.set_status(ref_of(failing), {"phase": "Pending"})
    world.says(wait, "0/1 ready")
    world.stay(wait, 9)
    world.cluster.set_status(ref_of(failing), failing["status"])
    assert world.says(wait, "not found").error is None
    assert world.stay(wait, 1).error is not None


def test_patience_does_not_grow_while_the_pod_grows_old(world: World) -> None:
    made = deployment()
    world.add(made, pod(made, crashing()))
    wait = world.ready(made)
    world.says(wait, "CrashLoopBackOff")
    assert world.stay(wait, 119).error is None
    world.clock.advance(5)
    assert wait.evaluate().error is not None


def test_refs_that_are_named_twice_are_waited_for_once(world: World) -> None:
    made = manifest("Service", "web", spec={"type": "ClusterIP"})
    world.add(made)
    ref: ObjectRef = ref_of(made)
    wait = ReadyWait([ref, ref], world.live, world.cluster, world.clock)
    assert world.done(wait).message == "1 of 1 ready"
    assert world.cluster.count("watch") == 1


# programs that are asked


def test_a_program_that_ends_again_while_it_is_asked_is_the_cause(world: World) -> None:
    """For a moment it was ready: it is its probe that finds out."""
    made = deployment(ready=1)
    world.add(made)
    watch = ProgramWatch([ref_of(made)], world.live, world.cluster, world.clock)
    fine = world.until(watch, lambda verdict: not verdict.message)
    assert (fine.done, fine.error) == (False, None)
    world.cluster.set_status(ref_of(made), deployment()["status"])
    world.add(pod(made, crashing()))
    told = world.until(watch, lambda verdict: "3 restarts" in verdict.message)
    assert not told.done
