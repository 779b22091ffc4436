"""The lock: a Lease, judged by our own monotonic clock or by our own processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from cto.engine.lease import LockHistory, lock_history
from cto.engine.lock import ClusterLock
from cto.errors import ApiError, Cancelled, LockedError, WaitError
from cto.holder import Holder, NoContainers
from cto.objects import Manifest, ObjectRef
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.containers import FakeContainers
from fakes.machine import FakeMachine

LEASE = ObjectRef("coordination.k8s.io/v1", "Lease", "cto-system", "cto-lock")
STUCK = {
    "type": "NamespaceDeletionDiscoveryFailure",
    "status": "True",
    "message": "Discovery failed for some groups, 1 failing: m/v1",
}
NAMESPACE = ObjectRef("v1", "Namespace", "", "cto-system")
CONFLICT = ApiError("CTO-1604", "changed", status=409, reason="Conflict")
DOWN = ApiError("CTO-1601", "no answer")


class Lab:
    def __init__(self, tmp: Path) -> None:
        self.machine = FakeMachine(tmp / "root")
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.said: list[str] = []
        self.losses: list[str] = []

    def lock(self, **changes: Any) -> ClusterLock:
        settings: dict[str, Any] = {"notice": self.said.append, "on_lost": self.losses.append}
        return ClusterLock(self.cluster, self.clock, self.machine.host, **{**settings, **changes})

    def lease(self) -> Manifest:
        found = self.cluster.get(LEASE)
        assert found
        return found

    def hold(self, holder: str, **spec: Any) -> Manifest:
        """Let somebody else hold the lease."""
        return self.cluster.add(
            {
                "apiVersion": LEASE.api_version,
                "kind": "Lease",
                "metadata": {"name": LEASE.name, "namespace": LEASE.namespace},
                "spec": {
                    "holderIdentity": holder,
                    "leaseDurationSeconds": 30,
                    "acquireTime": "2029-01-01T00:00:00.000000Z",
                    "renewTime": "2029-01-01T00:00:00.000000Z",
                    **spec,
                },
            }
        )

    def here(self, pid: int, started: str) -> str:
        holder = Holder.here(self.machine.host, NoContainers(), nonce="n")
        return str(replace(holder, pid=str(pid), started=started))


ELSEWHERE = str(
    Holder(host="ci-7", pid="42", started="1", boot="boot-9", pidns="pid:[1]", nonce="n")
)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_a_free_lock_is_taken_and_given_back(lab: Lab) -> None:
    lock = lab.lock()

    lock.acquire()

    spec = lab.lease()["spec"]
    holder = Holder.parse(spec["holderIdentity"])
    host = lab.machine.host
    assert (holder.host, holder.pid, holder.boot) == (host.name, str(host.pid), "boot-1")
    assert holder.lives(host, NoContainers())
    assert spec["leaseDurationSeconds"] == 30
    assert spec["renewTime"] == "2030-01-02T03:04:05.000000Z"
    lock.release()
    assert "holderIdentity" not in lab.lease()["spec"]
    lock.release()
    assert lab.losses == []


def test_every_change_of_hands_is_counted(lab: Lab) -> None:
    assert lock_history(lab.cluster) == LockHistory(0, taken=False)
    for count in (1, 3):
        lock = lab.lock()
        lock.acquire()
        assert lock_history(lab.cluster) == LockHistory(count, taken=True)
        lock.renew()
        lock.release()
        assert lock_history(lab.cluster) == LockHistory(count + 1, taken=False)


def test_the_namespace_is_made_with_our_label(lab: Lab) -> None:
    lab.lock().acquire()

    namespace = lab.cluster.get(NAMESPACE)
    assert namespace
    assert namespace["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "cto"


def test_a_namespace_that_somebody_makes_at_the_same_time_is_fine(lab: Lab) -> None:
    lab.cluster.fail_next("create", CONFLICT, kind="Namespace")
    lab.cluster.fail_next("create", DOWN, kind="Lease")

    with pytest.raises(ApiError, match="no answer"):
        lab.lock().acquire()


def test_a_namespace_that_may_not_be_made_is_an_error(lab: Lab) -> None:
    lab.cluster.fail_next("create", ApiError("CTO-1602", "forbidden"), kind="Namespace")

    with pytest.raises(ApiError, match="forbidden"):
        lab.lock().acquire()


def test_a_namespace_that_goes_is_waited_for(lab: Lab) -> None:
    metadata = {"name": "cto-system", "deletionTimestamp": "2030-01-02T03:04:05Z"}
    lab.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    lab.clock.at(3, lambda: lab.cluster.remove(NAMESPACE))

    lab.lock().acquire()

    assert lab.said[0] == "Waiting until namespace cto-system is deleted: 0 of 1 gone"


@pytest.mark.parametrize(
    ("conditions", "code"), [([STUCK], "CTO-1780"), ([], "CTO-1709")], ids=["told", "untold"]
)
def test_a_namespace_that_does_not_go_is_an_error_with_its_cause(
    lab: Lab, conditions: list[Manifest], code: str
) -> None:
    metadata = {"name": "cto-system", "deletionTimestamp": "2030-01-02T03:04:05Z"}
    status = {"conditions": conditions}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": status}
    lab.cluster.add(namespace)

    with pytest.raises(WaitError) as caught:
        lab.lock().acquire()

    assert caught.value.code == code
    assert "Namespace cto-system" in caught.value.message
    assert any("1 failing: m/v1" in line for line in lab.said) == bool(conditions)
    assert lab.cluster.get(LEASE) is None


def test_a_wait_for_the_namespace_can_be_stopped(lab: Lab) -> None:
    metadata = {"name": "cto-system", "deletionTimestamp": "2030-01-02T03:04:05Z"}
    lab.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    stop = Flag()
    stop.set()

    with pytest.raises(Cancelled):
        lab.lock(stop=stop).acquire()


def test_a_living_holder_on_this_machine_is_named_at_once(lab: Lab) -> None:
    lab.lock().acquire()

    with pytest.raises(LockedError) as error:
        lab.lock().acquire()

    host = lab.machine.host
    assert error.value.exit_code == 10
    assert error.value.message == (
        f"Process {host.pid} on {host.name} holds the lock of this cluster since "
        "2030-01-02T03:04:05.000000Z"
    )
    assert f"ps -o pid,lstart,args -p {host.pid}` on {host.name}" in error.value.hint
    assert "kubectl get lease cto-lock -n cto-system -o yaml -w" in error.value.hint
    assert lab.clock.waits == []


@pytest.mark.parametrize("state", ["gone", "another", "zombie"])
def test_a_dead_holder_on_this_machine_is_replaced_at_once(lab: Lab, state: str) -> None:
    lab.hold(lab.here(4711, "5"))
    if state == "another":
        lab.machine.start(4711, "somebody")
    if state == "zombie":
        started = lab.machine.start(4711, "python", state="Z")
        lab.hold(lab.here(4711, started))

    lab.lock().acquire()

    assert lab.clock.waits == []
    assert lab.lease()["spec"]["leaseTransitions"] == 1


def test_a_holder_from_before_a_reboot_is_waited_for(lab: Lab) -> None:
    """Another boot may be another machine of the same name."""
    lab.hold(lab.here(4711, "5"))
    lab.machine.reboot()

    lab.lock().acquire()

    assert len(lab.clock.waits) >= 30


@pytest.mark.parametrize("renewed", ["2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_a_record_that_does_not_change_is_over_after_its_duration_whatever_its_times_say(
    lab: Lab, renewed: str
) -> None:
    lab.hold(ELSEWHERE, renewTime=renewed, leaseDurationSeconds=12)

    lab.lock().acquire()

    assert 12 <= sum(lab.clock.waits) <= 14
    assert len(lab.said) == 1
    assert "Process 42 on ci-7 holds the lock" in lab.said[0]
    assert "Waiting up to 12 s" in lab.said[0]


def test_a_record_that_changes_has_a_living_holder(lab: Lab) -> None:
    lab.hold(ELSEWHERE)
    lab.clock.at(8, lambda: lab.hold(ELSEWHERE, renewTime="2029-01-01T00:00:08Z"))

    with pytest.raises(LockedError, match="Process 42 on ci-7"):
        lab.lock().acquire()

    assert sum(lab.clock.waits) < 10


def test_a_lock_that_is_given_back_meanwhile_is_taken(lab: Lab) -> None:
    lab.hold(ELSEWHERE)
    lab.clock.at(5, lambda: lab.hold(""))

    lab.lock().acquire()

    assert sum(lab.clock.waits) < 7


def test_a_holder_that_nobody_can_read_is_named_as_it_is(lab: Lab) -> None:
    lab.hold("some controller")
    lab.clock.at(2, lambda: lab.hold("some controller", renewTime="2029-01-01T00:00:08Z"))

    with pytest.raises(LockedError, match="some controller holds the lock") as error:
        lab.lock().acquire()

    assert "ps -o" not in error.value.hint


def test_a_wait_for_the_lock_can_be_stopped(lab: Lab) -> None:
    lab.hold(ELSEWHERE)
    stop = Flag()
    lab.clock.at(3, stop.set)

    with pytest.raises(Cancelled):
        lab.lock(stop=stop).acquire()


def test_of_two_that_take_it_at_once_the_slower_one_waits(lab: Lab) -> None:
    lab.cluster.fail_next("create", CONFLICT, kind="Lease")
    first = lab.lock()

    first.acquire()

    assert sum(lab.clock.waits) == 1.0


class Repeating(FakeCluster):
    """Repeats the creation of a lease, as the adapter does if it did not get the answer."""

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest["kind"] == "Lease":
            super().create(manifest)
        return super().create(manifest)


def test_an_answer_that_was_lost_on_its_way_is_recognized(lab: Lab) -> None:
    lab.cluster = Repeating()

    lab.lock().acquire()

    assert lab.clock.waits == []


def test_a_look_at_the_lock_writes_nothing(lab: Lab) -> None:
    lab.lock().refuse_living()
    assert not {LEASE, NAMESPACE} & lab.cluster.everything().keys()

    lab.hold(lab.here(4711, "5"))
    before = lab.lease()
    lab.lock().refuse_living()
    assert (lab.lease(), lab.clock.waits) == (before, [])


def test_a_look_at_the_lock_names_a_living_holder_here_and_elsewhere(lab: Lab) -> None:
    lab.lock().acquire()
    with pytest.raises(LockedError, match=f"Process {lab.machine.host.pid} on"):
        lab.lock().refuse_living()

    lab.hold(ELSEWHERE)
    lab.clock.at(8, lambda: lab.hold(ELSEWHERE, renewTime="2029-01-01T00:00:08Z"))
    with pytest.raises(LockedError, match="Process 42 on ci-7"):
        lab.lock().refuse_living()


def test_a_renewal_moves_the_time_and_keeps_the_holder(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    before = lab.lease()["spec"]
    lab.clock.advance(10)

    lock.renew()

    after = lab.lease()["spec"]
    assert after["renewTime"] > before["renewTime"]
    assert after["acquireTime"] == before["acquireTime"]
    assert after["leaseTransitions"] == before["leaseTransitions"]


def test_another_holder_means_lost(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lab.hold(ELSEWHERE)

    lock.renew()
    lock.renew()
    lock.release()

    assert lock.lost.is_set()
    assert len(lab.losses) == 1
    assert "Process 42 on ci-7" in lab.losses[0]
    assert lab.lease()["spec"]["holderIdentity"] == ELSEWHERE


def test_a_label_that_somebody_adds_is_not_another_holder(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lease = lab.lease()
    lease["metadata"]["labels"]["team"] = "a"
    lab.cluster.update(lease)

    lock.renew()
    lock.renew()

    assert not lock.lost.is_set()
    assert lab.lease()["metadata"]["labels"]["team"] == "a"


def silent(lab: Lab, lock: ClusterLock, seconds: int) -> None:
    """Let the API server be silent for so long, and the lock's threads do their work."""
    for _ in range(seconds):
        lab.clock.advance(1)
        lab.cluster.fail_next("update", DOWN)
        lock.renew()
        lock.look()


def test_a_lock_that_cannot_be_renewed_pauses_before_others_may_take_it(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 24)
    assert lock.is_held()
    assert lab.said == []

    silent(lab, lock, 1)

    assert not lock.is_held()
    assert not lock.lost.is_set()
    assert lab.said == [
        (
            "the lock of the cluster could not be renewed for 25 s: nothing is changed until the "
            "API server answers"
        )
    ]


@pytest.mark.parametrize("seconds", [25, 40, 75, 299])
def test_a_lock_that_is_still_ours_is_gone_on_with(lab: Lab, seconds: int) -> None:
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, seconds)
    assert not lock.is_held()

    lock.renew()

    assert lock.is_held()
    assert not lock.lost.is_set()
    assert lab.losses == []
    assert lab.said[1:] == ["the API server answers, and the lock is still ours: going on"]
    lock.release()
    assert "holderIdentity" not in lab.lease()["spec"]


def test_it_pauses_again_when_the_server_is_silent_again(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    for _ in range(2):
        silent(lab, lock, 30)
        assert not lock.is_held()
        lock.renew()
        assert lock.is_held()
    assert len(lab.said) == 4


def test_an_answer_that_took_too_long_does_not_end_the_pause(lab: Lab) -> None:
    """It says that the lock was ours when it was asked for; the next one says it for now."""
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 26)

    def late(manifest: Manifest) -> None:
        if manifest["kind"] == "Lease":
            lab.cluster.controllers.clear()
            lab.clock.advance(26)

    lab.cluster.controllers.append(late)
    lock.renew()
    assert not lock.is_held()

    lock.renew()
    assert lock.is_held()


def test_a_process_that_slept_for_an_hour_goes_on_if_nobody_took_the_lock(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lab.clock.advance(3600)
    assert not lock.is_held()

    lock.renew()

    assert lock.is_held()


def test_another_holder_after_a_silence_is_named(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 40)
    lab.hold(ELSEWHERE, acquireTime="2029-01-01T00:00:35Z")

    lock.renew()

    assert not lock.is_held()
    error = lock.loss("done: much")
    assert (error.code, error.exit_code) == ("CTO-2001", 10)
    assert error.message == (
        "another run took the lock: Process 42 on ci-7 holds the lock of this cluster since "
        "2029-01-01T00:00:35Z; everything was stopped where it was"
    )
    assert error.details == "done: much"
    assert "on ci-7" in error.hint
    assert lab.lease()["spec"]["holderIdentity"] == ELSEWHERE


def test_a_lock_that_another_run_had_and_gave_back_is_lost(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 40)
    lab.hold("")

    lock.renew()

    error = lock.loss("")
    assert error.code == "CTO-2001"
    assert "has given it back" in error.message
    assert "Run the same command again" in error.hint
    lock.renew()
    assert "holderIdentity" not in lab.lease()["spec"] or not lab.lease()["spec"]["holderIdentity"]


def test_a_lease_that_was_deleted_during_a_pause_is_not_put_back(lab: Lab) -> None:
    """An uninstallation deletes it at its end."""
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 40)
    lab.cluster.remove(LEASE)

    lock.renew()

    assert lock.lost.is_set()
    assert lock.loss("").code == "CTO-2001"
    assert lab.cluster.get(LEASE) is None


def test_a_server_that_stays_silent_is_not_called_another_run(lab: Lab) -> None:
    lock = lab.lock(patience_s=60)
    lock.acquire()
    silent(lab, lock, 84)
    assert not lock.lost.is_set()

    silent(lab, lock, 1)

    error = lock.loss("not begun: all")
    assert (error.code, error.exit_code) == ("CTO-1601", 6)
    assert error.message == (
        "the API server did not let us renew the lock for 85 s; everything was stopped where it was"
    )
    assert error.details == "no answer\nnot begun: all"
    assert "No other run is known to be at work" in error.hint
    assert "it goes on from here" in error.hint


def test_an_answer_that_was_lost_in_a_silence_is_found_to_be_ours(lab: Lab) -> None:
    """The renewal reached the server, and its answer did not reach us."""
    lock = lab.lock()
    lock.acquire()
    silent(lab, lock, 40)
    lease = lab.lease()
    lease["spec"]["renewTime"] = "2030-01-02T03:04:44.000000Z"
    lab.cluster.update(lease)

    lock.renew()

    assert lock.is_held()


def test_of_two_that_were_cut_off_only_one_goes_on(lab: Lab) -> None:
    """The second one takes the lock when its time is over; whoever writes first has it."""
    first = lab.lock()
    first.acquire()
    lab.machine.reboot()
    lab.clock.advance(26)
    second = lab.lock()
    second.acquire()
    assert second.is_held()
    assert not first.is_held()

    first.renew()

    assert first.lost.is_set()
    second.renew()
    assert second.is_held()


def test_a_renewal_counts_from_when_it_was_sent(lab: Lab) -> None:
    """The others' clock starts when the server wrote it, which may be long before we know."""
    lock = lab.lock()
    lock.acquire()
    lab.clock.advance(24)
    lock.renew()
    lab.clock.advance(24)

    lock.look()

    assert not lock.lost.is_set()


def test_a_lease_that_somebody_deleted_is_put_back(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    mine = lab.lease()["spec"]["holderIdentity"]
    lab.cluster.remove(LEASE)

    lock.renew()

    assert lab.lease()["spec"]["holderIdentity"] == mine
    assert not lock.lost.is_set()


def test_a_lease_that_goes_with_its_namespace_is_not_lost(lab: Lab) -> None:
    """An uninstall deletes the namespace at its end, and waits until it is gone."""
    lock = lab.lock()
    lock.acquire()
    lab.cluster.delete(NAMESPACE)
    lab.clock.advance(20)

    lock.renew()
    lab.clock.advance(20)
    lock.look()
    lock.release()

    assert not lock.lost.is_set()


def test_a_deleted_lease_that_cannot_be_put_back_pauses_in_the_end(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lab.cluster.remove(LEASE)
    lab.cluster.fail_next("create", DOWN, kind="Lease")

    lab.clock.advance(25)
    lock.renew()

    assert not lock.is_held()


def test_inside_the_block_threads_renew_until_its_end(lab: Lab) -> None:
    renewed = Flag()

    def controller(manifest: Manifest) -> None:
        if manifest["kind"] == "Lease" and lab.cluster.count("update") > 1:
            renewed.set()

    lab.cluster.controllers.append(controller)

    with lab.lock() as lock:
        assert renewed.wait(10)
        assert not lock.lost.is_set()

    assert "holderIdentity" not in lab.lease()["spec"]
    assert lab.losses == []


def test_a_loss_is_told_from_a_thread_and_releasing_there_is_allowed(lab: Lab) -> None:
    told = Flag()
    locks: list[ClusterLock] = []

    def on_lost(reason: str) -> None:
        locks[0].release()
        told.set()

    locks.append(lab.lock(on_lost=on_lost))
    with locks[0] as lock:
        lab.hold(ELSEWHERE)
        assert told.wait(10)
        assert lock.lost.is_set()

    assert lab.lease()["spec"]["holderIdentity"] == ELSEWHERE


def test_an_unreachable_server_does_not_fail_a_release(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lab.cluster.fail_next("update", DOWN)

    lock.release()

    assert "holderIdentity" in lab.lease()["spec"]


def test_a_machine_that_does_not_say_who_it_is_proves_nothing(lab: Lab) -> None:
    (lab.machine.root / "proc/sys/kernel/random/boot_id").unlink()
    (lab.machine.root / "proc/self/ns/pid").unlink()
    lab.hold(lab.here(4711, "5"))

    lab.lock().acquire()

    assert len(lab.clock.waits) >= 30


def test_a_holder_whose_container_is_gone_is_replaced_at_once(lab: Lab) -> None:
    """Nobody who is told to run the command again after a kill should wait for the dead."""
    lab.lock(containers=FakeContainers(own="0" * 64)).acquire()
    lab.machine.change_pid_namespace()

    lab.lock(containers=FakeContainers(own="1" * 64)).acquire()

    assert lab.clock.waits == []
    assert f"container={'1' * 64}" in lab.lease()["spec"]["holderIdentity"]


def test_a_holder_whose_container_lives_keeps_the_lock_while_its_lease_lasts(lab: Lab) -> None:
    """It may hang, and in a container for many commands another one may have been killed."""
    docker = FakeContainers(living={"0" * 64})
    lab.lock(containers=FakeContainers(own="0" * 64)).acquire()
    lab.machine.change_pid_namespace()

    lab.lock(containers=docker).acquire()

    assert sum(lab.clock.waits) == pytest.approx(30, abs=1)
    assert "in the container 000000000000 holds the lock" in lab.said[0]


def test_a_container_that_ends_meanwhile_is_not_waited_for(lab: Lab) -> None:
    docker = FakeContainers(living={"0" * 64})
    lab.lock(containers=FakeContainers(own="0" * 64)).acquire()
    lab.machine.change_pid_namespace()
    lab.clock.at(5, docker.living.clear)

    lab.lock(containers=docker).acquire()

    assert sum(lab.clock.waits) < 7


def test_a_stopped_holder_of_this_machine_keeps_the_lock_only_while_its_lease_lasts(
    lab: Lab,
) -> None:
    """Ctrl-Z: it lives, and may never go on."""
    started = lab.machine.start(42, "cto", "install", state="T")
    lab.hold(lab.here(42, started))

    lab.lock().acquire()

    assert sum(lab.clock.waits) == pytest.approx(30, abs=1)


def test_a_stopped_holder_that_goes_on_meanwhile_keeps_the_lock(lab: Lab) -> None:
    started = lab.machine.start(42, "cto", "install", state="T")
    holder = lab.here(42, started)
    lab.hold(holder)
    lab.clock.at(10, lambda: lab.hold(holder, renewTime="2029-01-01T00:00:10.000000Z"))

    with pytest.raises(LockedError):
        lab.lock().acquire()


def test_whoever_slept_too_long_knows_it_before_anything_else(lab: Lab) -> None:
    """No thread of the lock had its turn yet: the first write after SIGCONT must not pass."""
    lock = lab.lock()
    lock.acquire()
    assert lock.is_held()
    lab.clock.advance(26)

    assert not lock.is_held()
    assert not lock.lost.is_set()
    assert len(lab.said) == 1


def test_what_was_given_back_is_not_held(lab: Lab) -> None:
    lock = lab.lock()
    lock.acquire()
    lock.release()

    assert not lock.is_held()
