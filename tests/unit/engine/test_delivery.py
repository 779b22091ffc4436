"""An event on its way: what is told of each thing that can be wrong with it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest

from cto.config.model import Config
from cto.engine.delivery import Delivery
from cto.engine.look import PodsOwner
from cto.errors import ApiError
from cto.network.web import UnreachableError
from cto.objects import ObjectRef, ref_of
from cto.result import Check, CheckStatus, Topic
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster

NS = "argo-events"
PASSED, FAILED, WARNING = CheckStatus.PASSED, CheckStatus.FAILED, CheckStatus.WARNING
INGRESS = {"ingress_type": "ingress", "domain": "agents.acme.dev"}
BASE = "https://webhooks.agents.acme.dev"
HOOKS = f"{BASE}/github/webhook"
SECRETS = {"cleo": "planted-cleo", "rex": "planted-rex"}

SENSORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "sensors.argoproj.io"},
    "spec": {
        "group": "argoproj.io",
        "scope": "Namespaced",
        "names": {"kind": "Sensor", "plural": "sensors"},
        "versions": [{"name": "v1alpha1", "served": True, "storage": True}],
    },
}
FLOW = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Sensor",
    "metadata": {"name": "flow", "namespace": NS},
    "spec": {"triggers": [{"template": {"name": "label"}}, {"template": {"name": "probe"}}]},
}


@dataclass
class Receiver:
    """What listens, and the Sensor behind it.

    Attributes:
        checked: Path -> secret; without one, signatures are not looked at.
        deaf: How many events the Sensor does not see.
        answer: What says so instead, if anything.
    """

    cluster: FakeCluster
    checked: dict[str, str | None]
    deaf: int = 0
    answer: tuple[int, str] | None = None
    down: str = ""
    asked: list[str] = field(default_factory=list)

    def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> tuple[int, str]:
        assert 0 < timeout_s <= 4
        self.asked.append(url)
        if self.down:
            raise UnreachableError(self.down)
        if self.answer:
            return self.answer
        path = url.removeprefix(BASE)
        if path not in self.checked:
            return 404, "404 page not found"
        secret = self.checked[path]
        signed = hmac.new((secret or "").encode(), body, "sha256").hexdigest()
        if secret is not None and headers["X-Hub-Signature-256"] != f"sha256={signed}":
            return 400, "payload signature check failed"
        # The Sensor hears one entry.
        if headers["X-GitHub-Event"] == "cto-probe" and path == next(iter(self.checked)):
            self.deaf -= 1
            if self.deaf < 0:
                name = f"cto-probe-{json.loads(body)['nonce']}"
                metadata = {"name": name, "namespace": NS}
                self.cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
        return 200, "success"


def secret(cluster: FakeCluster, name: str, values: Mapping[str, str]) -> None:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": NS}
    cluster.add({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})


@dataclass
class Platform:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: FakeClock = field(default_factory=FakeClock)
    public: Receiver = field(init=False)
    internal: Receiver = field(init=False)

    def __post_init__(self) -> None:
        self.cluster.add(SENSORS)
        self.cluster.add(FLOW)
        secret(self.cluster, "github-app-webhooks", SECRETS)
        secret(self.cluster, "github-webhook-secret", {"secret": "planted-common"})
        paths: dict[str, str | None] = {f"/github/webhook/{k}": v for k, v in SECRETS.items()}
        self.public = Receiver(self.cluster, dict(paths))
        self.internal = Receiver(self.cluster, dict(paths))

    def look(
        self,
        *,
        starts: bool = True,
        platform: Any = INGRESS,
        tunneling: Any = MappingProxyType({}),
        **github: Any,
    ) -> Delivery:
        agents = {name: {"enabled": True} for name in SECRETS}
        given = {"organization": "acme", "repository": "shop", **github}
        sections = {"agents": agents, "github": given, "platform": platform}
        config = Config.model_validate({**sections, "tunneling": dict(tunneling)})
        return Delivery(
            self.cluster,
            self.clock,
            config,
            NS,
            starter=PodsOwner(ref_of(FLOW), "sensor-name=flow") if starts else None,
            outside=self.public.post,
            inside=self.internal.post,
        )

    def check(self, **settings: Any) -> Check:
        look = self.look(**settings)
        begun = self.clock.monotonic()
        found = look(Topic("webhooks", "Webhook delivery"), "1 of 1 receivers listen")
        assert self.clock.monotonic() - begun < 15
        # Whatever came of it, nothing of it is left.
        assert not self.cluster.list("v1", "ConfigMap", namespace=NS)
        return found


def test_an_event_arrives_by_the_public_address() -> None:
    platform = Platform()
    found = platform.check()
    assert found.status is PASSED, found
    told = f"1 of 1 receivers listen; an event arrives by {HOOKS}/cleo in"
    assert found.message.startswith(told)
    # Of each App's entry it is seen that its secret is the one that is checked.
    assert {*platform.public.asked} == {f"{HOOKS}/cleo", f"{HOOKS}/rex"}
    assert platform.internal.asked == []


def test_without_a_public_address_the_internal_one_is_tried_and_named() -> None:
    platform = Platform()
    found = platform.check(platform={})
    assert found.status is PASSED
    assert found.message.endswith("by the internal address: no public one is known")
    assert platform.public.asked == []


def test_the_one_webhook_of_all_is_tried_where_that_is_heard() -> None:
    platform = Platform()
    platform.public.checked = {"/github/webhook": "planted-common"}
    assert platform.check(webhooks="organization").status is PASSED
    assert {*platform.public.asked} == {HOOKS}


def test_a_sensor_that_did_not_hear_yet_is_sent_another_one() -> None:
    platform = Platform()
    platform.public.deaf = 2
    assert platform.check().status is PASSED


@pytest.mark.parametrize(
    ("wrong", "text", "fix"),
    [
        ({"deaf": 99}, "an event is taken, and starts nothing", "sensor-name=flow"),
        (
            {"checked": {"/github/webhook/cleo": None, "/github/webhook/rex": None}},
            f"{HOOKS}/cleo takes events that are signed with another secret",
            "not the platform's receiver",
        ),
        (
            {"checked": {"/github/webhook/cleo": "planted-cleo", "/github/webhook/rex": "old"}},
            f"{HOOKS}/rex refuses what is signed with its secret",
            "`cto github rotate rex`",
        ),
        ({"checked": {}}, "answered by something else (404)", "cto access argo-events"),
        ({"answer": (530, "<html>error 1033")}, "answered by something else (530)", "the tunnel"),
        (
            {"answer": (500, "failed to record event")},
            "cannot pass events on (500)",
            "EventBus default",
        ),
        # The page of a tunnel, with the status of success.
        ({"answer": (200, "<html>Welcome")}, "signed with another secret", "what answers there"),
    ],
)
def test_each_failure_has_its_cause_and_fix(wrong: dict[str, Any], text: str, fix: str) -> None:
    platform = Platform()
    for name, value in wrong.items():
        setattr(platform.public, name, value)
    found = platform.check()
    assert found.status is FAILED
    assert text in found.message
    assert fix in found.fix
    assert found.code == "CTO-1900"


def test_a_tunnels_page_instead_of_the_receivers_word_is_no_success() -> None:
    platform = Platform()
    real = platform.public.post

    def page(
        url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> tuple[int, str]:
        status, text = real(url, headers, body, timeout_s)
        return (status, "<html>You are about to visit") if status == 200 else (status, text)

    platform.public.post = page  # type: ignore[method-assign]
    found = platform.check()
    assert (found.status, "answered by something else (200)" in found.message) == (FAILED, True)


def test_an_address_that_is_not_reached_from_here_is_told_with_what_the_internal_one_says() -> None:
    platform = Platform()
    platform.public.down = "NameResolutionError: no such host"
    found = platform.check()
    assert found.status is WARNING
    assert f"{BASE} is not reached from here: NameResolutionError" in found.message
    assert "an event arrives by /github/webhook/cleo in" in found.message
    platform.internal.deaf = 99
    assert platform.check().status is FAILED


@pytest.mark.parametrize(
    "denied",
    [("delete", "configmaps", NS), ("get", "configmaps", NS)],
)
def test_who_may_not_take_away_what_comes_of_it_sends_nothing(denied: tuple[str, str, str]) -> None:
    platform = Platform()
    platform.cluster.denied.add(denied)
    found = platform.check()
    assert found.status is PASSED
    assert f"no event was sent: {denied[0]} configmaps in {NS} is not allowed" in found.message
    assert platform.public.asked == []


def test_what_came_too_late_goes_at_a_later_look() -> None:
    """Not at once: it may be that of somebody else who looks now."""
    platform = Platform()
    metadata = {"name": "cto-probe-late", "namespace": NS, "labels": {"cto.dev/probe": "true"}}
    platform.cluster.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    for minutes, left in ((5, 1), (60, 0)):
        platform.cluster.time += timedelta(minutes=minutes)
        found = platform.look()(Topic("webhooks", "Webhook delivery"), "it listens")
        assert found.status is PASSED
        assert len(platform.cluster.list("v1", "ConfigMap", namespace=NS)) == left


def test_who_may_not_read_the_secret_sends_nothing() -> None:
    platform = Platform()
    platform.cluster.fail_next("get", ApiError("CTO-1602", "no", status=403), kind="Secret")
    found = platform.check()
    assert (found.status, found.message.endswith("no event was sent: no")) == (PASSED, True)


def test_an_api_server_that_does_not_answer_is_not_taken_for_a_success() -> None:
    platform = Platform()
    silent = ApiError("CTO-1600", "no answer within 4 s")
    platform.cluster.fail_next("get", silent, kind="Secret")
    found = platform.check()
    assert (found.status, "no answer within 4 s" in found.message) == (WARNING, True)


def test_what_is_wrong_is_told_also_if_nothing_can_be_taken_away_after_it() -> None:
    platform = Platform()
    platform.public.answer = (530, "<html>error 1033")
    platform.cluster.fail_next("delete", ApiError("CTO-1602", "no", status=403), kind="ConfigMap")
    found = platform.check()
    assert (found.status, "answered by something else (530)" in found.message) == (FAILED, True)


def test_without_a_sensor_only_signatures_are_tried() -> None:
    platform = Platform()
    platform.public.deaf = 99
    found = platform.check(starts=False)
    assert found.status is PASSED
    assert "takes what is signed; there is nobody to start" in found.message


@pytest.mark.parametrize(
    ("lacking", "probed"),
    [
        ("rex", f"an event arrives by {HOOKS}/cleo in"),
        # The Sensor hears the first agent's entry alone.
        ("cleo", f"{HOOKS}/rex takes what is signed; whether it starts agents was not tried"),
    ],
)
def test_an_agent_without_a_secret_is_named_and_so_is_what_was_probed(
    lacking: str, probed: str
) -> None:
    platform = Platform()
    there = {name: value for name, value in SECRETS.items() if name != lacking}
    secret(platform.cluster, "github-app-webhooks", there)
    found = platform.check()
    assert found.status is WARNING, found
    assert f"; Secret github-app-webhooks has nothing of {lacking}; {probed}" in found.message
    assert "`cto install`, as before, makes one" in found.fix
    assert not [url for url in platform.public.asked if url.endswith(lacking)]


@pytest.mark.parametrize(
    "lacking",
    [
        ObjectRef("v1", "Secret", NS, "github-app-webhooks"),
        ObjectRef("argoproj.io/v1alpha1", "Sensor", NS, "flow"),
    ],
)
def test_what_an_older_installer_left_is_not_wrong(lacking: ObjectRef) -> None:
    platform = Platform()
    platform.cluster.remove(lacking)
    found = platform.check()
    assert (found.status, "cto install" in found.fix) == (WARNING, True)
    assert platform.public.asked == []


def test_where_nothing_answers_at_the_public_address_it_is_not_asked() -> None:
    """As with `cto github forward`: the address is there for GitHub alone."""
    platform = Platform()
    tunneling = {"provider": "local", "url": "https://hooks.example.com"}
    found = platform.check(platform={}, tunneling=tunneling)
    assert found.status is PASSED
    assert "by the internal address: nothing answers at the public one" in found.message
    assert platform.public.asked == []
