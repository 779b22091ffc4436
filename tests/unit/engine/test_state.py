"""The installer's memory: what was written is read; what cannot be read stops nobody."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cto.engine.state import JOURNAL, NAMESPACE, STATE, StateStore
from cto.errors import ApiError, ConfigError, PreflightError
from cto.objects import ObjectRef
from cto.plan.observed import STATE_SCHEMA, ReleaseState, State
from fakes.cluster import FakeCluster

VERSION = "1.2.3"
CONFLICT = ApiError("CTO-1604", "changed", status=409, reason="Conflict")

WORDS = st.text(max_size=6)
REFS = st.builds(ObjectRef, WORDS, WORDS, WORDS, WORDS)
RELEASES = st.dictionaries(
    WORDS,
    st.tuples(WORDS, WORDS, WORDS, WORDS, st.lists(REFS, max_size=2), st.lists(REFS, max_size=2)),
    max_size=3,
).map(
    lambda items: {
        name: ReleaseState(
            component=name,
            release=item[0],
            namespace=item[1],
            digest=item[2],
            chart=item[3],
            objects=tuple(item[4]),
            glue=tuple(item[5]),
        )
        for name, item in items.items()
    }
)
STATES = st.builds(
    State,
    writer=st.just(VERSION),
    provider=WORDS,
    profile=WORDS,
    simulated=st.booleans(),
    config=st.dictionaries(WORDS, WORDS | st.integers() | st.booleans(), max_size=3),
    releases=RELEASES,
    namespaces=st.lists(WORDS, max_size=2).map(tuple),
    ports=st.dictionaries(st.integers(1, 65535), st.integers(1, 65535), max_size=2),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


def cluster(state: object = None, *, journal: object = None) -> FakeCluster:
    """Return a cluster whose ConfigMaps hold these texts, as they are, or this data as JSON."""
    made = FakeCluster()
    made.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    for ref, data in ((STATE, state), (JOURNAL, journal)):
        if data is not None:
            text = data if isinstance(data, str) else json.dumps(data)
            metadata = {"name": ref.name, "namespace": ref.namespace}
            content = {"metadata": metadata, "data": {"state.json": text}}
            made.add({"apiVersion": "v1", "kind": "ConfigMap", **content})
    return made


def store(where: FakeCluster, version: str = VERSION) -> StateStore:
    return StateStore(where, version)


def state(**fields: Any) -> State:
    return State(**{"writer": VERSION, "provider": "kwok", "profile": "minimal", **fields})


def release(name: str = "web", digest: str = "d") -> ReleaseState:
    return ReleaseState(component=name, release=name, namespace="ns", digest=digest, chart="c")


def written(where: FakeCluster, ref: ObjectRef = STATE) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((where.peek(ref) or {})["data"]["state.json"])
    return data


VALID = {
    "schema": STATE_SCHEMA,
    "writer": VERSION,
    "provider": "kwok",
    "profile": "minimal",
    "simulated": True,
    "config": {},
    "namespaces": ["web"],
    "releases": {
        "web": {
            "release": "web",
            "namespace": "web",
            "digest": "d",
            "chart": "web-1.0.0",
            "objects": [{"apiVersion": "v1", "kind": "Pod", "namespace": "web", "name": "a"}],
            "glue": [],
        }
    },
}


@given(STATES)
def test_what_was_written_is_read_by_the_next_run(given_state: State) -> None:
    where = cluster()
    store(where).begin(given_state)
    assert store(where).load() == given_state


def test_nothing_there_is_no_state() -> None:
    assert store(FakeCluster()).load() is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '"text"', "{}", '{"schema": 1}', '{"schema": null, "writer": []}'],
)
def test_a_state_that_cannot_be_read_is_none(text: str) -> None:
    assert store(cluster(text)).load() is None


def test_a_config_map_without_data_is_no_state() -> None:
    where = FakeCluster()
    metadata = {"name": STATE.name, "namespace": STATE.namespace}
    where.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    assert store(where).load() is None


def paths(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of everything in a document."""
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    found = [at] if at else []
    if isinstance(data, dict | list):
        for key, value in inner:
            deeper = paths(value, (*at, key)) if isinstance(value, dict | list) else [(*at, key)]
            found += deeper
    return found


@given(st.sampled_from(paths(VALID)), JSON)
def test_any_damage_costs_the_state_or_nothing_and_never_the_run(
    path: tuple[Any, ...], value: Any
) -> None:
    """Whatever is read can be written again, and its objects can be sorted as others are."""
    damaged = json.loads(json.dumps(VALID))
    target = damaged
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    where = cluster(damaged)
    try:
        found = store(where).load()
    except PreflightError as refused:
        assert refused.code == "CTO-1402"  # noqa: PT017 - only if it looks newer
        return
    if found is not None:
        refs = [ref for item in found.releases.values() for ref in (*item.objects, *item.glue)]
        assert sorted([*refs, STATE])
        store(where).begin(found)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"schema": STATE_SCHEMA + 1}, VERSION),
        ({"writer": "1.3.0"}, "1.3.0"),
        ({"writer": "1.2.10"}, "1.2.10"),
        ({"writer": "2"}, "2"),
        ({"writer": "1.3.0-rc.1+build"}, "1.3.0-rc.1"),
    ],
)
def test_what_a_newer_installer_wrote_is_refused_and_its_version_named(
    fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(PreflightError) as caught:
        store(cluster({**VALID, **fields})).load()
    assert caught.value.code == "CTO-1402"
    assert named in caught.value.message
    assert VERSION in caught.value.message
    assert named in caught.value.hint


@pytest.mark.parametrize("writer", ["1.2.3", "1.2.3+local", "1.2.2", "1.2", "0.99.99", "", "dev"])
def test_what_this_or_an_older_installer_wrote_is_read(writer: str) -> None:
    assert store(cluster({**VALID, "writer": writer})).load() is not None


def test_the_journal_comes_with_the_state_and_its_loss_costs_nothing_else() -> None:
    steps = {"release:web": {"seconds": 3}}
    with_journal = store(cluster(VALID, journal=steps)).load()
    assert with_journal
    assert with_journal.steps == steps
    for damage in ("{", "[]", None):
        found = store(cluster(VALID, journal=damage)).load()
        assert found
        assert found.steps == {}
        assert found.releases == with_journal.releases


def test_a_new_run_keeps_what_is_known_and_takes_the_place_of_the_writer() -> None:
    where = cluster(VALID, journal={"a": 1})
    mine = store(where)
    mine.load()
    mine.begin(state(profile="standard", namespaces=("api",)))
    assert written(where)["releases"] == VALID["releases"]
    assert written(where)["namespaces"] == ["api", "web"]
    assert written(where)["profile"] == "standard"
    known = mine.load()
    assert known
    assert known.steps == {"a": 1}


def test_apps_are_remembered_through_runs_and_forgotten() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.load()
    mine.remember_app("rex", {"asked": "today"})
    mine.remember_app("rex", {"id": 7, "slug": "our-rex"})
    mine.remember_app("cleo", None)
    other = store(where)
    other.load()
    other.begin(state())
    assert other.apps() == {"rex": {"id": 7, "slug": "our-rex"}}
    other.remember_app("rex", None)
    assert "apps" not in written(where)


def test_webhooks_that_were_made_are_remembered_through_runs_and_forgotten() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.load()
    mine.remember_webhook("acme", {"id": 5, "url": "https://a.example"})
    mine.remember_webhook("acme/shop", None)
    other = store(where)
    other.load()
    other.begin(state())
    assert other.webhooks() == {"acme": {"id": 5, "url": "https://a.example"}}
    other.remember_webhook("acme", None)
    assert "webhooks" not in written(where)


def test_releases_are_recorded_one_by_one_and_forgotten() -> None:
    where = cluster()
    mine = store(where)
    mine.begin(state())
    mine.record(release("web"))
    mine.record(release("api"))
    mine.record(release("web", "other"))
    assert set(written(where)["releases"]) == {"web", "api"}
    assert mine.release("web") == release("web", "other")
    mine.forget("web")
    assert set(written(where)["releases"]) == {"api"}
    assert mine.release("web") is None


def test_what_is_not_known_need_not_be_forgotten() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.forget("web")  # nothing was loaded
    mine.load()
    mine.forget("other")
    assert where.count("update") == where.count("create") == 0
    assert store(FakeCluster()).release("web") is None


def test_recording_before_the_run_began_is_a_bug() -> None:
    with pytest.raises(ValueError, match="begin comes before record"):
        store(cluster()).record(release())


def test_what_is_the_same_is_not_written_again() -> None:
    where = cluster()
    mine = store(where)
    mine.begin(state())
    mine.begin(state())
    assert where.count("update") == 0


def test_a_write_that_met_another_one_is_tried_again() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.load()
    where.fail_next("update", CONFLICT, times=2)
    mine.record(release("api"))
    assert "api" in written(where)["releases"]


def test_a_write_that_meets_others_again_and_again_fails() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.load()
    where.fail_next("update", CONFLICT, times=3)
    with pytest.raises(ApiError) as caught:
        mine.record(release("api"))
    assert caught.value.code == "CTO-1604"


def test_any_other_refusal_fails_at_once() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.load()
    where.fail_next("update", ApiError("CTO-1602", "no", status=403))
    with pytest.raises(ApiError):
        mine.record(release("api"))
    assert where.count("update") == 1


def test_state_and_journal_go_together() -> None:
    where = cluster(VALID, journal={"a": 1})
    mine = store(where)
    mine.load()
    mine.delete()
    assert where.peek(STATE) is where.peek(JOURNAL) is None
    assert mine.release("web") is None


LARGE = {"components": {"grafana": {"values": {"dashboard": "${job} " * 180_000}}}}
MOST_BYTES = 1 << 20


def content(where: FakeCluster) -> dict[str, Any]:
    return where.peek(STATE) or {}


def test_a_large_state_is_packed_and_read_again() -> None:
    """1.2 MB of values: Helm can keep them, a ConfigMap cannot."""
    where = cluster()
    given_state = state(config=LARGE, releases={"web": release()})
    store(where).begin(given_state)
    kept = content(where)
    assert len(json.dumps(kept)) < MOST_BYTES // 10
    assert store(where).load() == given_state
    store(where).begin(given_state)
    assert where.count("update") == 0


def test_a_state_that_grows_and_shrinks_has_one_content() -> None:
    where = cluster(VALID)
    mine = store(where)
    mine.begin(state(config=LARGE))
    assert set(content(where)) >= {"data", "binaryData"}
    mine.begin(state())
    assert not content(where).get("binaryData")
    assert written(where)["config"] == {}


def test_an_installer_that_cannot_unpack_refuses_a_packed_state() -> None:
    """What stands in its place is a state of a schema that it does not know."""
    where = cluster()
    store(where).begin(state(config=LARGE))
    stub = written(where)
    assert stub == {"schema": 2, "writer": VERSION}
    with pytest.raises(PreflightError) as caught:
        store(cluster(stub)).load()
    assert caught.value.code == "CTO-1402"


@pytest.mark.parametrize("damage", ["", "eA==", "no base64"])
def test_a_packed_state_that_is_damaged_is_none(damage: str) -> None:
    where = cluster()
    store(where).begin(state(config=LARGE))
    where.add({**content(where), "binaryData": {"state.json.gz": damage}})
    assert store(where).load() is None


def test_a_state_that_does_not_fit_packed_either_is_an_error_of_its_own() -> None:
    noise = random.Random(1).randbytes(1 << 20).hex()  # noqa: S311 - no secret
    with pytest.raises(ConfigError) as caught:
        store(cluster()).begin(state(config={"a": noise}))
    assert caught.value.code == "CTO-1355"


# As version 0.1 wrote it. It stays readable for ever.
OF_0_1 = (
    '{"config":{"features":{"monitoring":true},"profile":"minimal"},"namespaces":["argocd"],'
    '"profile":"minimal","provider":"kind","releases":{"argocd":{"chart":"argo-cd-10.1.1",'
    '"digest":"d1","glue":[],"namespace":"argocd","objects":[{"apiVersion":"v1","kind":"Service",'
    '"name":"argocd-server","namespace":"argocd"}],"release":"argocd"}},"schema":1,'
    '"simulated":false,"writer":"0.1.0"}'
)


def test_the_first_format_stays_readable() -> None:
    found = store(cluster(OF_0_1)).load()
    assert found is not None
    assert (found.provider, found.profile, found.writer) == ("kind", "minimal", "0.1.0")
    assert found.config["features"] == {"monitoring": True}
    service = ObjectRef("v1", "Service", "argocd", "argocd-server")
    assert found.releases["argocd"].objects == (service,)
