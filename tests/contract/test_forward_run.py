"""`cto github forward`, and the pod that does the same."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from cto import __version__, assets
from cto.config.model import Config
from cto.engine.state import StateStore
from cto.errors import ApiError, ConfigError
from cto.github.client import Client
from cto.github.forward import PAUSE_S, PLACES, Forwarder, ForwardLoop, sources
from cto.github.manifest import rules
from cto.network import trust, web
from cto.objects import Manifest, ObjectRef, dump_yaml
from cto.plan.observed import ReleaseState, State
from cto_controller import forwarding
from fakes.cluster import FakeCluster
from fakes.components import HEARS_WEBHOOKS, RUNS_AGENTS, definition
from fakes.desk import Desk
from fakes.github.apps import App, Reply, Trouble
from fakes.github.served import GitHubServer, key
from fakes.handclock import HandClock

HOOK = "planted-hook-secret"
PLACE = ObjectRef("v1", "ConfigMap", "cto", PLACES)


def secret(name: str, namespace: str, **data: str) -> Manifest:
    encoded = {k.replace("_", "-"): base64.b64encode(v.encode()).decode() for k, v in data.items()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


@dataclass
class Receiver:
    """Argo Events', as far as signatures go."""

    got: list[tuple[str, Any]] = field(default_factory=list)
    came: Flag = field(default_factory=Flag)
    answer: tuple[int, str] = (200, "success")
    secret: str = HOOK

    def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        wanted = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        if headers["X-Hub-Signature-256"] != f"sha256={wanted}":
            return 400, "payload signature check failed"
        if self.answer[0] == 200:
            self.got.append((path, json.loads(body)))
        self.came.set()
        return self.answer


def prepared(cluster: FakeCluster) -> Receiver:
    """Put into a cluster what an App of agent rex and the receiver have there."""
    for name in ("cto-system", "cto", "argo-events"):
        cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    service = {"name": "github-webhook", "namespace": "argo-events"}
    cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": service})
    pem, _ = key(0)
    cluster.add(secret("github-app-cto-agent-rex", "cto", app_id="7", private_key=pem))
    cluster.add(secret("github-app-webhooks", "argo-events", rex=HOOK, cleo=HOOK))
    receiver = cluster.programs["argo-events", "github-webhook"] = Receiver()
    return receiver


@dataclass
class Office:
    """A desk with an installed controller that knows one agent, a GitHub, and a receiver."""

    desk: Desk
    server: GitHubServer
    receiver: Receiver

    @property
    def app(self) -> App:
        return self.server.github.apps[0]

    def install(self, **sections: Any) -> None:
        """Let the state in the cluster say that this is installed."""
        github = {"organization": "acme", "url": self.server.url, **sections.pop("github", {})}
        releases = {
            name: ReleaseState(
                component=name, release=name, namespace=namespace, digest="d", chart="c"
            )
            for name, namespace in (("controller", "cto"), ("argo-events", "argo-events"))
        }
        config = Config.model_validate({"github": github, **sections}).public()
        StateStore(self.desk.cluster, __version__).begin(
            State(
                writer=__version__,
                provider="existing",
                profile="minimal",
                config=config,
                releases=releases,
            )
        )

    def forward(self, *words: str) -> Any:
        return self.desk.cto("github", "forward", "--once", *words)


@pytest.fixture
def server() -> Iterator[GitHubServer]:
    with GitHubServer() as made:
        pem, checks = key(0)
        hook = {"url": "https://hooks.example.com/github/webhook/rex"}
        made.github.apps.append(App(7, "rex", "Iv23rex", "acme", pem, checks, hook=hook))
        yield made


@pytest.fixture
def office(tmp_path: Path, server: GitHubServer) -> Office:
    desk = Desk(tmp_path)
    server.github.now = lambda: desk.clock.now().timestamp()
    desk.component(definition("controller", namespace="cto", health=RUNS_AGENTS))
    desk.component(definition("argo-events", health=HEARS_WEBHOOKS))
    receiver = prepared(desk.cluster)
    metadata = {"name": "controller-task-controller-config", "namespace": "cto"}
    told = {"agents": {"rex": {"githubApp": "cto-agent-rex"}}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    desk.cluster.add({**config_map, "data": {"config.yaml": dump_yaml(told)}})
    made = Office(desk, server, receiver)
    made.install()
    return made


def test_what_failed_is_handed_over_by_a_command(office: Office) -> None:
    sent = office.server.github.deliver(office.app, "issues", 502, {"action": "labeled"})
    done = office.forward()
    assert done.exit_code == 0, done.output
    assert office.receiver.got == [("/github/webhook/rex", {"action": "labeled"})]
    assert done.stdout == "1 handed over.\n"
    assert f"rex: issues {sent['id']} is handed over" in done.stderr
    again = office.forward("--output", "json")
    assert json.loads(again.stdout)["data"] == {"deliveries": []}
    everything = done.output + again.output + str(office.desk.cluster.peek(PLACE))
    assert HOOK not in everything
    assert "PRIVATE KEY" not in everything


def test_what_a_tunnel_brought_in_is_left_out(office: Office) -> None:
    office.install(tunneling={"provider": "none", "url": "https://hooks.example.com"})
    office.server.github.deliver(office.app, "issues", 200)
    assert office.forward().stdout == "There was nothing to hand over.\n"
    office.server.github.deliver(office.app, "issues", 502)
    assert office.forward().stdout == "1 handed over.\n"


def test_a_receiver_that_is_not_there_loses_nothing(office: Office) -> None:
    office.server.github.deliver(office.app, "issues", 502)
    office.receiver.answer = (503, "no endpoints available")
    failed = office.forward()
    assert failed.exit_code == 5
    assert "CTO-1583" in failed.stderr
    office.receiver.answer = (200, "success")
    assert office.forward().stdout == "1 handed over.\n"


def test_an_app_without_a_webhook_is_told_with_the_page(office: Office) -> None:
    office.app.hook = None
    failed = office.forward()
    assert failed.exit_code == 3
    assert "its App has no webhook, so GitHub keeps nothing" in failed.stderr
    assert "of the App of rex" in failed.stderr
    assert f"{office.server.url}/organizations/acme/settings/apps" in failed.stderr


def add_app(office: Office, agent: str) -> App:
    """Let another agent have an App, whose key is there."""
    pem, checks = key(1)
    hook = {"url": f"https://hooks.example.com/github/webhook/{agent}"}
    app = App(8, agent, f"Iv23{agent}", "acme", pem, checks, hook=hook)
    office.server.github.apps.append(app)
    cluster = office.desk.cluster
    cluster.add(secret(f"github-app-cto-agent-{agent}", "cto", app_id="8", private_key=pem))
    metadata = {"name": "controller-task-controller-config", "namespace": "cto"}
    told = {"agents": {name: {"githubApp": f"cto-agent-{name}"} for name in (agent, "rex")}}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    cluster.add({**config_map, "data": {"config.yaml": dump_yaml(told)}})
    return app


@pytest.mark.parametrize(("flaw", "code"), [("hook", 3), ("content", 5)])
def test_once_goes_on_with_the_others_and_fails_at_the_end(
    office: Office, flaw: str, code: int
) -> None:
    cleo = add_app(office, "cleo")
    if flaw == "hook":
        cleo.hook = None
    else:
        sent = office.server.github.deliver(cleo, "issues", 502)
        path = f"GET /api/v3/app/hook/deliveries/{sent['id']}"
        office.server.github.troubles = [Trouble(path, Reply(422, {"message": "Oops"}))]
    office.server.github.deliver(office.app, "issues", 502, {"action": "labeled"})
    failed = office.forward()
    assert failed.exit_code == code, failed.output
    assert office.receiver.got == [("/github/webhook/rex", {"action": "labeled"})]
    assert "of the App of cleo" in failed.stderr


def test_an_app_of_which_github_keeps_nothing_is_told_once(office: Office) -> None:
    """GitHub's API does not say whether a webhook is active."""
    told = "rex: GitHub keeps nothing of it so far: is its webhook active?"
    assert told in office.forward().stderr
    assert told not in office.forward().stderr


def test_a_webhook_of_the_organization_cannot_be_forwarded(office: Office) -> None:
    office.install(github={"webhooks": "organization"})
    failed = office.forward()
    assert failed.exit_code == 3
    assert "only webhooks of Apps can be forwarded" in failed.stderr


def test_without_any_app_there_is_nothing_to_forward_for(office: Office) -> None:
    office.desk.cluster.delete(ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex"))
    failed = office.forward()
    assert failed.exit_code == 3
    assert "there is no App of an agent to forward for" in failed.stderr
    assert "Secret github-app-cto-agent-rex with the key of its App is not there" in failed.stderr


def test_deliveries_that_fail_are_no_trouble_where_they_are_fetched(office: Office) -> None:
    known = rules(assets.root() / "templates")
    office.app.permissions |= {**known.permissions("rex"), "actions": "read"}
    office.app.events = known.listened(office.app.permissions)
    office.server.github.approve(office.app, "acme/shop")
    office.install(tunneling={"url": "https://hooks.example.com"})
    office.desk.cto("github", "setup")
    office.server.github.deliver(office.app, "issues", 502)
    for provider in ("none", "local"):
        office.install(tunneling={"provider": provider, "url": "https://hooks.example.com"})
        shown = office.desk.cto("github", "status")
        told = "its last webhook failed" in shown.stdout
        assert told is (provider == "none"), shown.output


class Interrupted(HandClock):
    """Somebody presses Ctrl+C in the second pause."""

    pauses = 0

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        if timeout_s == PAUSE_S:
            self.pauses += 1
            if self.pauses == 2:
                raise KeyboardInterrupt
            return False
        return super().wait(flag, timeout_s)


def test_it_goes_on_until_somebody_ends_it_and_tells_troubles_once(office: Office) -> None:
    office.desk.clock = Interrupted()
    office.server.github.now = lambda: office.desk.clock.now().timestamp()
    office.server.github.deliver(office.app, "issues", 502)
    office.receiver.answer = (500, "failed to record event")
    done = office.desk.cto("github", "forward")
    assert done.exit_code in (1, 130)
    assert done.stderr.count("the receiver answered 500 failed to record event") == 1
    assert "rex: CTO-1583: issues " in done.stderr
    assert "forwarding for rex; Ctrl+C ends it" in done.stderr


def test_a_secret_that_is_rotated_meanwhile_is_used_from_then_on(office: Office) -> None:
    rotated = "planted-rotated-secret"

    class Rotated(Interrupted):
        """In the first pause the secret is another one, and something happens."""

        def wait(self, flag: Flag, timeout_s: float) -> bool:
            over = super().wait(flag, timeout_s)
            if timeout_s == PAUSE_S:
                office.desk.cluster.add(secret("github-app-webhooks", "argo-events", rex=rotated))
                office.receiver.secret = rotated
                office.server.github.deliver(office.app, "issues", 502, {"action": "labeled"})
            return over

    office.desk.clock = Rotated()
    office.server.github.now = lambda: office.desk.clock.now().timestamp()
    office.desk.cto("github", "forward")
    assert office.receiver.got == [("/github/webhook/rex", {"action": "labeled"})]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"floor": 1}', '{"floor": 1, "done": [[1]]}'])
def test_where_somebody_wrote_over_how_far_it_got_it_begins_anew(office: Office, text: str) -> None:
    metadata = {"name": PLACE.name, "namespace": PLACE.namespace}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    office.desk.cluster.add({**config_map, "data": {"rex": text}})
    office.server.github.deliver(office.app, "issues", 502)
    assert office.forward().stdout == "1 handed over.\n"
    assert office.forward().stdout == "There was nothing to hand over.\n"


# the pod


def told_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]


def test_the_pod_forwards_until_it_is_told_to_end(
    tmp_path: Path, server: GitHubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = FakeCluster()
    receiver = prepared(cluster)
    apps = {name: f"github-app-cto-agent-{name}" for name in ("rex", "cleo")}
    file = tmp_path / "forward.yaml"
    file.write_text(dump_yaml({"github": server.url, "receiver": "argo-events", "apps": apps}))
    server.github.deliver(server.github.apps[0], "issues", 502, {"action": "labeled"})
    stop = Flag()
    environ = {"FORWARD_CONFIG_PATH": str(file), "PORT": "0"}
    pod = Thread(target=forwarding.run, args=(environ, cluster, stop))
    pod.start()
    assert receiver.came.wait(30)
    stop.set()
    pod.join(30)
    assert not pod.is_alive()
    assert receiver.got == [("/github/webhook/rex", {"action": "labeled"})]
    lines = told_of(capsys)
    assert "rex: issues is handed over" in lines
    # An App that is not made yet keeps nobody waiting.
    assert "cleo: Secret github-app-cto-agent-cleo with the key of its App is not there" in lines


def test_the_pod_says_what_is_wrong_once_and_when_it_is_over(
    server: GitHubServer,
) -> None:
    cluster, clock = FakeCluster(), HandClock()
    prepared(cluster)
    server.github.now = lambda: clock.now().timestamp()
    session = web.session({}, verified=trust.context({}))
    client = Client(server.api, session, clock, patience_s=0)
    apps = {"rex": ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex")}
    forwarder = Forwarder(cluster, client, clock, namespace="cto", receiver="argo-events")
    said: list[str] = []
    loop = ForwardLoop(
        forwarder,
        lambda: sources(cluster, apps, "argo-events"),
        handed=lambda _: None,
        say=lambda _, text: said.append(text),
    )
    server.github.deliver(server.github.apps[0], "ping", 200)
    server.github.troubles = [Trouble("GET .*deliveries", Reply(502, "<html>"), times=2)]
    for _ in range(4):
        loop.round()
    assert said == [
        (
            "rex: CTO-1580: GitHub was asked for its deliveries and answered 502, and no JSON. "
            "A proxy or firewall may have answered."
        ),
        "rex: is forwarded now",
    ]


def test_an_app_whose_webhook_goes_is_told_with_what_to_do_and_looked_at_again(
    server: GitHubServer,
) -> None:
    cluster, clock = FakeCluster(), HandClock()
    prepared(cluster)
    server.github.now = lambda: clock.now().timestamp()
    client = Client(server.api, web.session({}, verified=trust.context({})), clock, patience_s=0)
    apps = {"rex": ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex")}
    forwarder = Forwarder(cluster, client, clock, namespace="cto", receiver="argo-events")
    said: list[str] = []
    loop = ForwardLoop(
        forwarder,
        lambda: sources(cluster, apps, "argo-events"),
        handed=lambda _: None,
        say=lambda _, text: said.append(text),
    )
    app = server.github.apps[0]
    hook, app.hook = app.hook, None
    for _ in range(3):
        loop.round()
    (told,) = said
    assert told.startswith("rex: CTO-1370: its App has no webhook, so GitHub keeps nothing")
    assert "Active, and an address" in told
    # It is not asked for each time.
    assert len(server.asked("/app/hook/config")) == 1
    app.hook = hook
    clock.advance(61)
    loop.round()
    assert said[1:] == ["rex: is forwarded now"]


def test_where_the_cluster_is_silent_what_was_known_before_is_tried(server: GitHubServer) -> None:
    cluster, clock = FakeCluster(), HandClock()
    receiver = prepared(cluster)
    server.github.now = lambda: clock.now().timestamp()
    client = Client(server.api, web.session({}, verified=trust.context({})), clock, patience_s=0)
    apps = {"rex": ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex")}
    forwarder = Forwarder(cluster, client, clock, namespace="cto", receiver="argo-events")
    loop = ForwardLoop(
        forwarder,
        lambda: sources(cluster, apps, "argo-events"),
        handed=lambda _: None,
        say=lambda _, __: None,
    )
    silent = ApiError("CTO-1601", "no answer")
    cluster.fail_next("get", silent, kind="Secret")
    with pytest.raises(ApiError):
        loop.round()
    loop.round()
    server.github.deliver(server.github.apps[0], "issues", 502, {"action": "labeled"})
    cluster.fail_next("get", silent, kind="Secret")
    assert loop.round() == {}
    assert receiver.got == [("/github/webhook/rex", {"action": "labeled"})]


@pytest.mark.parametrize("text", ["", "github: x", "apps: [a]\ngithub: x\nreceiver: x", "{"])
def test_a_pod_that_is_told_nonsense_says_which_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "forward.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"forward\.yaml cannot be used"):
        forwarding.ForwardSettings.read(file)
