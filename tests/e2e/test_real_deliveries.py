"""What the real Argo Events takes of GitHub's deliveries, and that it loses nothing it took."""

from __future__ import annotations

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from .conftest import sweep
from .engine import Engine
from .events import NAMESPACE, READY_S, Events, all_ready, get, pods, waited
from .image import Image
from .installer import KUBE, Installer
from .real import needs

pytestmark = [pytest.mark.docker, pytest.mark.slow, needs("argo-events", "nats-server")]

JSON = {"Content-Type": "application/json", "X-GitHub-Event": "cto-test"}
FORM = {**JSON, "Content-Type": "application/x-www-form-urlencoded"}
PLAIN = {**JSON, "Content-Type": "text/plain"}
MIB = 1 << 20
TRAFFIC_S = 90
# JetStream gives again what was not acknowledged.
LATE_S = 300


@pytest.fixture(scope="module")
def events(
    engine: Engine, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Events]:
    """Install the platform once, with a Sensor that writes down what it hears."""
    installer = Installer(engine, image.reference, tmp_path_factory.mktemp("kube"))
    (installer.kube / "events.yaml").write_text("github: {organization: acme}\n")
    try:
        found = Events.of(
            installer, installer.install("minimal", "--config", f"{KUBE}/events.yaml")
        )
        for controller in ("eventbus-controller", "eventsource-controller"):
            ready = partial(all_ready, partial(pods, installer, controller))
            waited(f"pods of {controller} are not ready", READY_S, ready)
        found.listen()
        yield found
    finally:
        sweep(engine)


def body(size: int = 0) -> bytes:
    """Return JSON of at least so many bytes."""
    return json.dumps({"action": "sent", "number": 1, "padding": "x" * size}).encode()


def answers(events: Events, content: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Send a delivery; return the answer, and its id."""
    delivery = str(uuid4())
    (status,) = events.post([(content, {**headers, "X-GitHub-Delivery": delivery})])
    return status, delivery


def test_what_is_signed_is_taken_in_either_form_and_up_to_five_megabytes(events: Events) -> None:
    small, large = body(), body(5 * MIB)
    form = urlencode({"payload": small.decode()}).encode()
    sent = [
        answers(events, content, {**kind, **events.signature(content)})
        for content, kind in ((small, JSON), (large, JSON), (form, FORM))
    ]
    # GitHub signs twice. Without SHA-256 Argo Events goes by SHA-1, of the same secret.
    sent.append(answers(events, small, {**JSON, **events.signature(small, "sha1")}))
    assert [status for status, _ in sent] == [200] * 4
    wanted = {delivery for _, delivery in sent}
    waited("a delivery is lost", READY_S, lambda: wanted <= events.written())


def test_what_is_not_signed_as_it_stands_is_refused(events: Events) -> None:
    content, other = body(), replace(events, secret=b"another secret")
    changed = content.replace(b"1", b"2")
    refused = [
        answers(events, content, JSON),
        answers(events, content, {**JSON, **other.signature(content)}),
        answers(events, content, {**JSON, **other.signature(content, "sha1")}),
        answers(events, changed, {**JSON, **events.signature(content)}),
        answers(events, b"{", {**JSON, **events.signature(b"}")}),
        answers(events, body(6 * MIB), {**JSON, **events.signature(body(6 * MIB))}),
        answers(
            events, content, {**JSON, "Content-Type": "text/plain", **events.signature(content)}
        ),
    ]
    assert [status for status, _ in refused] == [400] * len(refused)
    last = str(uuid4())
    assert events.deliver([last]) == [200]
    waited("no object of a delivery", READY_S, lambda: last in events.written())
    assert not {delivery for _, delivery in refused} & events.written()


def test_a_delivery_that_comes_again_is_told_once(events: Events) -> None:
    """Argo Events takes it again; what it makes has a name of its own, and there is one."""
    again, last = str(uuid4()), str(uuid4())
    assert events.deliver([again, again, again, last]) == [200] * 4
    waited("no object of a delivery", READY_S, lambda: {again, last} <= events.written())


class Sender:
    """Sends deliveries like GitHub whose failed ones somebody has it send again."""

    def __init__(self, events: Events, *secrets: bytes) -> None:
        self._signers = [replace(events, secret=secret) for secret in secrets]
        self.accepted: set[str] = set()
        self.failed = 0

    def send(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._deliver(str(uuid4()), end)
            time.sleep(0.2)

    def _deliver(self, delivery: str, end: float) -> None:
        while time.monotonic() < end:
            for signer in self._signers:
                try:
                    if signer.deliver([delivery]) == [200]:
                        self.accepted.add(delivery)
                        return
                except (OSError, http.client.HTTPException):
                    # Nobody listens just now.
                    pass
                self.failed += 1
            time.sleep(0.5)


def test_secrets_change_under_traffic_and_nothing_that_was_taken_is_lost(
    events: Events, tell: list[str]
) -> None:
    """As `cto github rotate` does it: the Secret first, then the program that has read it."""
    installer, new = events.installer, uuid4().hex.encode()
    source = get(installer, "eventsource/github")["spec"]["github"][events.entry]
    name, key = source["webhookSecret"]["name"], source["webhookSecret"]["key"]
    patch = json.dumps({"data": {key: b64encode(new).decode()}})
    sender = Sender(events, events.secret, new)
    sender.send(5)
    installer.kubectl("patch", "secret", name, "-n", NAMESPACE, "-p", patch)
    of_source = ("-l", "controller=eventsource-controller")
    installer.kubectl("delete", "pods", "-n", NAMESPACE, *of_source, "--wait=false")
    sender.send(TRAFFIC_S)
    waited("deliveries are lost", LATE_S, lambda: sender.accepted <= events.written())
    assert replace(events, secret=events.secret).deliver([str(uuid4())]) == [400]
    events.secret = new
    assert events.deliver([str(uuid4())]) == [200]
    tell.append(
        f"{len(sender.accepted)} taken while the secret changed, {sender.failed} sent again"
    )


@pytest.mark.parametrize("controller", ["eventsource-controller", "eventbus-controller"])
def test_a_program_is_killed_under_traffic_and_nothing_that_was_taken_is_lost(
    events: Events, controller: str, tell: list[str]
) -> None:
    words = ("-n", NAMESPACE, "-l", f"controller={controller}", "--grace-period=0", "--force")
    sender = Sender(events, events.secret)
    sender.send(5)
    events.installer.kubectl("delete", "pods", *words)
    sender.send(TRAFFIC_S)
    assert sender.accepted
    waited("deliveries are lost", LATE_S, lambda: sender.accepted <= events.written())
    told = f"{len(sender.accepted)} taken, {sender.failed} sent again"
    tell.append(f"{controller} killed under traffic: {told}")
