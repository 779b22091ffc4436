"""What receives webhooks, and what starts agents of them, by what component.yaml says."""

from __future__ import annotations

from dataclasses import replace

from cto import assets
from cto.catalog import load
from cto.engine.look import PodsOwner, receiver_of, sources_of, starter_of
from cto.objects import ObjectRef
from cto.plan.observed import ReleaseState, State
from fakes.components import HEARS_WEBHOOKS, component

API = "argoproj.io/v1alpha1"
SOURCE = ObjectRef(API, "EventSource", "events", "in")
MAIL, FLOW = (ObjectRef(API, "Sensor", "events", name) for name in ("mail", "flow"))
RELEASE = ReleaseState(
    component="events",
    release="events",
    namespace="events",
    digest="d",
    chart="c",
    glue=(SOURCE, MAIL, FLOW),
)
EVENTS = component("events", health=HEARS_WEBHOOKS)


def state(*releases: ReleaseState) -> State:
    return State(
        writer="1",
        provider="existing",
        profile="minimal",
        releases={one.component: one for one in releases},
    )


def test_what_receives_webhooks_is_found_by_what_its_component_says() -> None:
    others = [component("other"), EVENTS]
    assert receiver_of(others, state(RELEASE)) == (RELEASE, EVENTS)
    assert receiver_of(others, state()) is None
    assert receiver_of(others, None) is None
    assert sources_of((RELEASE, EVENTS)) == (PodsOwner(SOURCE, "eventsource-name=in"),)
    assert sources_of(None) == ()


def test_what_starts_agents_is_told_from_others_of_its_kind() -> None:
    assert starter_of(RELEASE, EVENTS) == PodsOwner(FLOW, "sensor-name=flow")
    assert starter_of(replace(RELEASE, glue=(SOURCE, MAIL)), EVENTS) is None
    assert starter_of(RELEASE, component("events")) is None


def test_argo_events_names_what_starts_agents() -> None:
    told = load(assets.root() / "bundle")["argo-events"].health.webhooks
    text = (assets.root() / "bundle/components/argo-events/flow.yaml.j2").read_text()
    assert told
    assert told.starts
    assert f"kind: {told.starts.kind}\nmetadata:\n  name: {told.starts.name}\n" in text
