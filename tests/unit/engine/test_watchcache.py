"""The cache follows the API server, tells when it cannot, and ends when it is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event as Flag
from threading import Thread
from threading import enumerate as threads

import pytest

from cto.engine.cache import NOTHING, Scope, Tail, read_last_line
from cto.engine.queries import Queries, heals
from cto.engine.watchcache import WatchCache
from cto.errors import ApiError
from cto.objects import ObjectRef
from fakes.cluster import FakeCluster
from fakes.handclock import HandClock
from fakes.workloads import NS, manifest

CONFIG = ("v1", "ConfigMap")
SCOPE = Scope(*CONFIG, NS)
SILENT = ApiError("CTO-1601", "no answer")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster([manifest("ConfigMap", "one")])


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def live(cluster: FakeCluster, clock: HandClock) -> Iterator[WatchCache]:
    live = WatchCache(cluster, clock, pause_s=0.001)
    yield live
    live.close()


def until(live: WatchCache, true: Callable[[], bool]) -> None:
    """Wait for changes until something is true."""
    for _ in range(200):
        seen = live.generation
        if true():
            return
        live.wait_change(seen, 10)
    pytest.fail("it did not become true")


def names(live: WatchCache) -> set[str]:
    return set(live.objects(*CONFIG, NS))


def test_objects_are_followed_from_the_first_sync_on(
    live: WatchCache, cluster: FakeCluster
) -> None:
    assert live.objects(*CONFIG, NS) is NOTHING
    assert not live.synced(*CONFIG, NS)
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    assert names(live) == {"one"}
    cluster.add(manifest("ConfigMap", "two"))
    until(live, lambda: names(live) == {"one", "two"})
    cluster.remove(ObjectRef(*CONFIG, NS, "one"))
    until(live, lambda: names(live) == {"two"})
    assert live.get(ObjectRef(*CONFIG, NS, "two")) is not None
    assert live.get(ObjectRef(*CONFIG, NS, "one")) is None


def test_snapshot_does_not_change_under_its_reader(live: WatchCache, cluster: FakeCluster) -> None:
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    before = live.objects(*CONFIG, NS)
    cluster.add(manifest("ConfigMap", "two"))
    until(live, lambda: names(live) == {"one", "two"})
    assert set(before) == {"one"}


def test_a_scope_is_watched_once(live: WatchCache, cluster: FakeCluster) -> None:
    for _ in range(3):
        live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    assert cluster.count("watch") == 1


def test_another_sync_replaces_what_was_known(live: WatchCache, cluster: FakeCluster) -> None:
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    before = live.stamp([SCOPE])
    cluster.break_watches()
    until(live, lambda: live.stamp([SCOPE]) > before)
    assert names(live) == {"one"}


def test_objects_of_all_namespaces_are_told_apart(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.add(manifest("ConfigMap", "one", metadata={"namespace": "other"}))
    live.track(*CONFIG)
    until(live, lambda: live.synced(*CONFIG))
    assert set(live.objects(*CONFIG)) == {"argocd/one", "other/one"}


def test_managed_fields_are_not_kept(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.add(manifest("ConfigMap", "big", metadata={"managedFields": [{"manager": "x"}]}))
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    assert "managedFields" not in live.objects(*CONFIG, NS)["big"]["metadata"]


def test_generation_grows_and_wakes_whoever_waits(cluster: FakeCluster, clock: HandClock) -> None:
    woken: list[int] = []
    live = WatchCache(cluster, clock, on_change=lambda: woken.append(1))
    seen = live.generation
    waiter = Thread(target=lambda: woken.append(live.wait_change(seen, 10)))
    waiter.start()
    live.wake()
    waiter.join(10)
    assert live.generation == seen + 1
    assert sorted(woken) == [1, seen + 1]
    assert live.wait_change(seen, 10) == seen + 1
    assert live.wait_change(seen + 1, 0) == seen + 1
    live.close()
    assert live.wait_change(live.generation, 10) == live.generation


def test_refusal_is_raised_where_the_objects_matter(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.fail_next("watch", ApiError("CTO-1602", "not allowed", status=403), times=1000)
    live.track(*CONFIG, NS)

    def refused() -> bool:
        try:
            live.trouble([SCOPE])
        except ApiError as error:
            return error.code == "CTO-1602"
        return False

    until(live, refused)
    assert live.trouble([Scope(*CONFIG, "other")]) == ""


def test_watch_that_failed_is_begun_again(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.fail_next("watch", ApiError("CTO-1600", "internal error", status=500), times=2)
    live.track(*CONFIG, NS)
    until(live, lambda: names(live) == {"one"})
    assert live.trouble([SCOPE]) == ""


def test_kind_that_is_not_served_has_no_objects(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.fail_next("watch", ApiError("CTO-1603", "no such kind", status=404))
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    until(live, lambda: names(live) == {"one"})


def test_silent_api_server_is_told_with_the_time(
    live: WatchCache, cluster: FakeCluster, clock: HandClock
) -> None:
    live.track(*CONFIG, NS)
    until(live, lambda: live.synced(*CONFIG, NS))
    assert live.trouble([SCOPE]) == ""
    cluster.fail_next("server_version", SILENT, times=1000)
    clock.advance(12)
    until(live, lambda: bool(live.trouble([SCOPE])))
    assert live.trouble([SCOPE]) == "the API server has not answered for 10 s"
    cluster.add(manifest("ConfigMap", "two"))
    until(live, lambda: live.trouble([SCOPE]) == "")


def test_api_server_that_hangs_is_told_before_the_request_ends(
    live: WatchCache, cluster: FakeCluster, clock: HandClock
) -> None:
    go = Flag()
    live.ask("hangs", lambda: go.wait(10))
    clock.advance(6)
    assert live.trouble([]) == ""
    clock.advance(6)
    assert live.trouble([]) == "the API server has not answered for 10 s"
    go.set()
    until(live, lambda: live.trouble([]) == "")


def test_api_server_that_answers_in_a_quiet_cluster_is_no_trouble(
    live: WatchCache, cluster: FakeCluster, clock: HandClock
) -> None:
    clock.advance(12)
    until(live, lambda: live.trouble([]) == "" and cluster.count("server_version") == 1)
    clock.advance(12)
    cluster.fail_next("server_version", ApiError("CTO-1600", "odd", status=400))
    until(live, lambda: live.trouble([]) == "" and cluster.count("server_version") == 2)


def test_log_line_is_fetched_once_per_restart(live: WatchCache, cluster: FakeCluster) -> None:
    cluster.container_logs[(NS, "p", "main", True)] = "one\ntwo\n"
    tail = Tail(NS, "p", "uid", "main", 1, previous=True)
    assert live.last_line(tail) == ""
    until(live, lambda: live.last_line(tail) == "two")
    again = tail._replace(restarts=2)
    cluster.container_logs[(NS, "p", "main", True)] = "three"
    assert live.last_line(again) in {"two", "three"}
    until(live, lambda: live.last_line(again) == "three")
    assert live.last_line(tail) == "two"
    assert cluster.count("logs") == 2


def test_log_of_a_container_that_was_not_restarted_is_its_current_one() -> None:
    cluster = FakeCluster()
    tail = Tail(NS, "p", "uid", "main", 0, previous=False)
    assert read_last_line(cluster, tail) == ""
    assert cluster.count("logs") == 1


def test_close_ends_every_thread(cluster: FakeCluster, clock: HandClock) -> None:
    live = WatchCache(cluster, clock)
    before = set(threads())
    live.track(*CONFIG, NS)
    live.ask("key", cluster.server_version)
    live.last_line(Tail(NS, "p", "uid", "main", 0, previous=False))
    until(live, lambda: live.synced(*CONFIG, NS))
    live.close()
    assert set(threads()) <= before
    live.track("v1", "Secret", NS)
    assert live.ask("other", cluster.server_version) is None
    assert set(threads()) <= before


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SILENT, True),
        (ApiError("CTO-1600", "", status=503), True),
        (ApiError("CTO-1600", "", status=429), True),
        (ApiError("CTO-1602", "", status=403), False),
        (ValueError(), False),
    ],
)
def test_only_what_time_may_mend_is_waited_for(error: Exception, *, expected: bool) -> None:
    assert heals(error) is expected


class Answers:
    """An Queries whose answers can be waited for."""

    def __init__(self, clock: HandClock) -> None:
        self.come = Flag()
        self.asker = Queries("test", clock, self.come.set)

    def next(self) -> None:
        assert self.come.wait(10)
        self.come.clear()


def test_answer_is_kept_until_it_is_old(clock: HandClock) -> None:
    answers = Answers(clock)
    ask = answers.asker.ask
    numbers = iter(range(9))
    assert ask("key", lambda: next(numbers)) is None
    answers.next()
    first = ask("key", lambda: next(numbers))
    assert first is not None
    assert first.value == 0
    assert ask("key", lambda: next(numbers), not_before=clock.monotonic()) is first
    clock.advance(5)
    assert ask("key", lambda: next(numbers), fresh_s=6) is first
    assert ask("key", lambda: next(numbers), fresh_s=5) is first
    answers.next()
    second = ask("key", lambda: next(numbers))
    assert second is not None
    assert second.value == 1
    clock.advance(5)
    assert ask("key", lambda: next(numbers), not_before=clock.monotonic()) is None
    answers.next()
    answers.asker.close()


def test_question_that_fails_is_answered_with_its_error(clock: HandClock) -> None:
    answers = Answers(clock)
    answers.asker.ask("key", lambda: 1 // 0)
    answers.next()
    answer = answers.asker.ask("key", lambda: 1 // 0)
    assert answer is not None
    assert isinstance(answer.error, ZeroDivisionError)
    answers.asker.close()


def test_answers_are_bounded(clock: HandClock) -> None:
    answers = Answers(clock)
    done = Flag()
    for number in range(600):
        answers.asker.ask(number, lambda: None)
    answers.asker.ask("last", done.set)
    assert done.wait(10)
    answers.asker.close()
    assert len(answers.asker._answers) == 512


def test_question_on_its_way_is_not_asked_twice(clock: HandClock) -> None:
    answers = Answers(clock)
    go, asked = Flag(), []
    answers.asker.ask("key", lambda: asked.append(go.wait(10)))
    answers.asker.ask("key", lambda: asked.append(go.wait(10)))
    go.set()
    answers.next()
    answers.asker.close()
    assert asked == [True]
