"""What was just seen: used as long as it tells how things are, and then not any more."""

from __future__ import annotations

import pytest

from cto.engine.listcache import ListCache, ObservationCache
from cto.objects import Manifest, ref_of
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.components import config_map


def deployment(*, ready: bool) -> Manifest:
    conditions = [{"type": "Available", "status": "True"}] if ready else []
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "web", "generation": 1},
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            **(counts if ready else {"replicas": 1}),
        },
    }


CONFIG = config_map("settings", "web")


def seen(clock: FakeClock, *objects: Manifest) -> tuple[ObservationCache, FakeCluster]:
    cluster = FakeCluster(objects)
    observation = ObservationCache(clock)
    observation.keep(ListCache(cluster))
    return observation, cluster


def test_what_exists_and_is_ready_is_seen_so() -> None:
    observation, _ = seen(FakeClock(), deployment(ready=True), CONFIG)
    assert observation.shows_ready([ref_of(deployment(ready=True)), ref_of(CONFIG)])


@pytest.mark.parametrize("objects", [(deployment(ready=False), CONFIG), (CONFIG,)])
def test_what_is_missing_or_not_ready_is_not(objects: tuple[Manifest, ...]) -> None:
    observation, _ = seen(FakeClock(), *objects)
    assert not observation.shows_ready([ref_of(CONFIG), ref_of(deployment(ready=True))])


def test_each_kind_is_listed_once() -> None:
    observation, cluster = seen(FakeClock(), deployment(ready=True))
    for _ in range(3):
        assert observation.shows_ready([ref_of(deployment(ready=True))])
    cluster.delete(ref_of(deployment(ready=True)))
    assert observation.shows_ready([ref_of(deployment(ready=True))])


@pytest.mark.parametrize("age_s", [0, 5, 39])
def test_what_no_new_list_would_tell_better_is_believed(age_s: int) -> None:
    """A busy server needs more than some seconds for what a run asks of it."""
    clock = FakeClock()
    observation, _ = seen(clock, CONFIG)
    clock.advance(age_s)
    assert observation.shows_ready([ref_of(CONFIG)])


@pytest.mark.parametrize("age_s", [40, 3600])
def test_what_is_old_is_not_believed(age_s: int) -> None:
    clock = FakeClock()
    observation, _ = seen(clock, CONFIG)
    clock.advance(age_s)
    assert observation.lists() is None
    assert not observation.shows_ready([ref_of(CONFIG)])


def test_nothing_is_known_before_a_look_and_after_a_change() -> None:
    observation, _ = seen(FakeClock(), CONFIG)
    assert observation.lists() is not None
    observation.drop()
    assert observation.lists() is None
    assert not observation.shows_ready([])
    assert ObservationCache(FakeClock()).lists() is None
