"""Forwarding of deliveries that GitHub keeps, against the stand-in over HTTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from cto.errors import ApiError
from cto.github.client import Client
from cto.github.forward import PLACES, AppSource, Forwarder, ReceiverError, sources
from cto.github.found import AppKey
from cto.network import trust, web
from cto.objects import Manifest, ObjectRef
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster
from fakes.github.apps import GONE, App, Reply, Trouble
from fakes.github.served import GitHubServer, key

SECRET = "planted-secret"
REX = AppSource("rex", AppKey("Iv23rex", key(0)[0]), SECRET)
PLACE = ObjectRef("v1", "ConfigMap", "cto", PLACES)


class KilledError(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


class Mortal(FakeCluster):
    """Ends the process at the n-th write of the ConfigMap, before it or after it."""

    writes = 0
    end_at: tuple[int, str] | None = None

    def create(self, manifest: Manifest, **options: Any) -> Manifest:
        return self._counted(lambda: super(Mortal, self).create(manifest, **options))

    def update(self, manifest: Manifest) -> Manifest:
        return self._counted(lambda: super(Mortal, self).update(manifest))

    def _counted(self, write: Any) -> Manifest:
        self.writes += 1
        if self.end_at == (self.writes, "before"):
            raise KilledError
        done: Manifest = write()
        if self.end_at == (self.writes, "after"):
            raise KilledError
        return done


@dataclass
class Line:
    """A GitHub with an App, and a receiver that checks signatures as Argo Events does."""

    server: GitHubServer
    cluster: Mortal
    clock: FakeClock
    app: App
    got: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    answer: tuple[int, str] = (200, "success")
    notices: list[str] = field(default_factory=list)

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        wanted = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if headers["X-Hub-Signature-256"] != f"sha256={wanted}":
            return 400, "payload signature check failed"
        if self.answer[0] == 200:
            self.got.append((path, headers, json.loads(body)))
        return self.answer

    def forwarder(self, **settings: Any) -> Forwarder:
        session = web.session({}, verified=trust.context({}))
        client = Client(self.server.api, session, self.clock)
        return Forwarder(
            self.cluster,
            client,
            self.clock,
            namespace="cto",
            receiver="argo-events",
            notice=self.notices.append,
            **settings,
        )

    def once(self, source: AppSource = REX, **settings: Any) -> list[int]:
        return [one.id for one in self.forwarder(**settings).forward(source)]

    def deliver(self, event: str = "issues", status: int = 502, **payload: Any) -> dict[str, Any]:
        return self.server.github.deliver(self.app, event, status, payload)

    @property
    def guids(self) -> list[str]:
        return [headers["X-GitHub-Delivery"] for _, headers, _ in self.got]


@pytest.fixture
def line() -> Iterator[Line]:
    with GitHubServer() as server:
        clock = FakeClock()
        server.github.now = lambda: clock.now().timestamp()
        pem, checks = key(0)
        app = App(7, "rex", "Iv23rex", "acme", pem, checks, hook={"url": "https://a.example"})
        server.github.apps.append(app)
        service = {"name": "github-webhook", "namespace": "argo-events"}
        cluster = Mortal([{"apiVersion": "v1", "kind": "Service", "metadata": service}])
        cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cto"}})
        made = Line(server, cluster, clock, app)
        cluster.programs["argo-events", "github-webhook"] = made.receive
        yield made


def test_what_failed_is_handed_over_as_github_sends_it_the_oldest_first(line: Line) -> None:
    first = line.deliver("issues", action="labeled", title="Ünïcode \u2028")
    second = line.deliver("pull_request", number=2**53)
    assert line.once() == [first["id"], second["id"]]
    (path, headers, body), (_, later, _) = line.got
    assert path == "/github/webhook/rex"
    assert body == {"action": "labeled", "title": "Ünïcode \u2028"}
    assert headers["X-GitHub-Event"] == "issues"
    assert headers["X-GitHub-Delivery"] == first["guid"]
    assert headers["X-GitHub-Hook-Installation-Target-ID"] == "7"
    assert later["X-GitHub-Delivery"] == second["guid"]
    # GitHub's own signature is one of other bytes.
    assert {name for name in headers if "Signature" in name} == {"X-Hub-Signature-256"}
    # Once.
    assert line.once() == []


def test_a_long_list_is_read_back_to_where_it_was_left(line: Line) -> None:
    line.deliver()
    line.once()
    wanted = [line.deliver()["id"] for _ in range(105)]
    assert line.once() == wanted
    assert len(line.got) == 106
    before = len(line.server.asked("/app/hook/deliveries"))
    line.clock.advance(3600)
    last = line.deliver()["id"]
    assert line.once() == [last]
    # What is older than what may still come late is known by one number.
    assert len(line.server.asked("/app/hook/deliveries")) == before + 2
    line.clock.advance(3600)
    line.deliver()
    line.once()
    (text,) = (line.cluster.peek(PLACE) or {})["data"].values()
    assert len(json.loads(text)["done"]) == 1
    line.deliver()
    before = len(line.server.asked("/app/hook/deliveries"))
    line.once()
    assert len(line.server.asked("/app/hook/deliveries")) == before + 1


def test_a_list_that_is_the_same_is_not_sent_again(line: Line) -> None:
    forwarder = line.forwarder()
    line.deliver()
    assert len([*forwarder.forward(REX)]) == 1
    assert [*forwarder.forward(REX)] == []
    tags = [one.headers.get("If-None-Match") for one in line.server.asked("/app/hook/deliveries")]
    assert tags[0] is None
    assert tags[1] is not None
    line.deliver()
    assert len([*forwarder.forward(REX)]) == 1


def test_a_list_is_looked_at_again_where_something_was_not_taken(line: Line) -> None:
    forwarder = line.forwarder()
    line.deliver()
    line.answer = (503, "no endpoints available")
    with pytest.raises(ReceiverError, match="503 no endpoints") as caught:
        [*forwarder.forward(REX)]
    assert caught.value.code == "CTO-1583"
    line.answer = (200, "success")
    assert len([*forwarder.forward(REX)]) == 1


def test_a_content_that_comes_late_holds_up_nothing(line: Line) -> None:
    forwarder = line.forwarder()
    first, second = line.deliver(), line.deliver()
    path = f"/api/v3/app/hook/deliveries/{first['id']}"
    line.server.github.troubles = [Trouble(f"GET {path}", Reply(404, GONE))]
    assert [one.id for one in forwarder.forward(REX)] == [second["id"]]
    assert [one.id for one in forwarder.forward(REX)] == [first["id"]]


def test_a_content_that_does_not_come_is_given_up_and_told(line: Line) -> None:
    first = line.deliver()
    path = f"/api/v3/app/hook/deliveries/{first['id']}"
    line.server.github.troubles = [Trouble(f"GET {path}", Reply(404, GONE), times=9)]
    assert line.once() == []
    assert line.notices == []
    line.clock.advance(601)
    assert line.once() == []
    (told,) = line.notices
    assert told == f"rex: issues {first['id']}: GitHub has no content of it; it is given up"
    line.clock.advance(1)
    assert line.once() == []
    assert len(line.notices) == 1


def test_a_delivery_that_gets_into_the_list_late_is_not_missed(line: Line) -> None:
    first, second = line.deliver(), line.deliver()
    line.app.deliveries.remove(first)
    assert line.once() == [second["id"]]
    line.clock.advance(300)
    line.app.deliveries.append(first)
    assert line.once() == [first["id"]]


def test_what_comes_again_with_the_same_id_is_handed_over_once(line: Line) -> None:
    first = line.deliver()
    line.app.deliveries.append({**first, "id": first["id"] + 500, "redelivery": True})
    assert line.once() == [first["id"]]
    assert line.guids == [first["guid"]]


def test_what_was_before_is_left_where_it_is(line: Line) -> None:
    """The webhooks of an App that was there for long are not all repeated."""
    line.deliver()
    line.clock.advance(3601)
    assert line.once() == []
    wanted = line.deliver()
    assert line.once() == [wanted["id"]]
    line.clock.advance(7200)
    later = line.deliver()
    line.clock.advance(7200)
    # Nobody forwarded for hours.
    assert line.once() == [later["id"]]


def test_what_arrived_is_left_out_where_webhooks_arrive(line: Line) -> None:
    line.deliver(status=200)
    failed = line.deliver(status=502)
    assert line.once(failed_only=True) == [failed["id"]]
    line.deliver(status=200)
    assert line.once(failed_only=True) == []


def test_what_the_receiver_never_takes_is_given_up_and_told(line: Line) -> None:
    line.deliver()
    line.answer = (400, "http: request body too large")
    assert line.once() == []
    assert "refuses it (http: request body too large); it is given up" in line.notices[0]
    line.answer = (200, "success")
    assert line.once() == []


def test_a_secret_that_is_another_one_loses_nothing(line: Line) -> None:
    wanted = line.deliver()
    other = AppSource("rex", REX.key, "another")
    with pytest.raises(ReceiverError, match="400 payload signature check failed"):
        line.once(other)
    assert line.once() == [wanted["id"]]


MOMENTS = [(n, when) for n in (1, 2, 3) for when in ("before", "after")]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_at_any_write_loses_nothing(line: Line, moment: tuple[int, str]) -> None:
    """And what is handed over twice by it has the same delivery id."""
    sent = [line.deliver() for _ in range(3)]
    line.cluster.end_at = moment
    with pytest.raises(KilledError):
        line.once()
    line.cluster.end_at = None
    line.once()
    assert [*dict.fromkeys(line.guids)] == [one["guid"] for one in sent]
    assert len(line.got) == 3 + (moment[1] == "before")


def test_two_at_a_time_are_found_out(line: Line) -> None:
    line.deliver()
    line.once()
    for _ in range(2):
        line.deliver()
    slow = line.forwarder().forward(REX)
    next(slow)
    line.once()
    with pytest.raises(ApiError) as caught:
        next(slow)
    assert caught.value.is_conflict
    line.once()
    assert len({*line.guids}) == 3


def test_an_app_without_a_webhook_is_told(line: Line) -> None:
    assert line.forwarder().flaw(REX) == ""
    line.app.hook = {"url": ""}
    assert line.forwarder().flaw(REX) == "the webhook of its App has no address"
    line.app.hook = None
    assert "has no webhook" in line.forwarder().flaw(REX)


def test_who_lacks_a_secret_is_told_and_the_others_are_forwarded() -> None:
    def secret(ref: ObjectRef, **data: str) -> Manifest:
        encoded = {
            k.replace("_", "-"): base64.b64encode(v.encode()).decode() for k, v in data.items()
        }
        metadata = {"name": ref.name, "namespace": ref.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}

    apps = {name: ObjectRef("v1", "Secret", "cto", f"github-app-{name}") for name in "abc"}
    made = {"app_id": "1", "private_key": "planted-key"}
    hooks = ObjectRef("v1", "Secret", "argo-events", "github-app-webhooks")
    cluster = FakeCluster(
        [secret(apps["a"], **made), secret(apps["b"], **made), secret(hooks, a="planted-hook")]
    )
    learned: list[str] = []
    found, lacking = sources(cluster, apps, "argo-events", learned.extend)
    assert [one.agent for one in found] == ["a"]
    assert "planted" not in repr(found)
    assert lacking == {
        "b": "Secret github-app-webhooks in argo-events has nothing of it",
        "c": "Secret github-app-c with the key of its App is not there",
    }
    assert {"planted-key", "planted-hook"} <= {*learned}
