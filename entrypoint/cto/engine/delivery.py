"""Sends the platform an event as GitHub would, and sees what comes of it.

The Sensor that starts agents makes a ConfigMap of this event. What is signed wrongly has to be
refused. Nothing else of the cluster is changed, and the ConfigMap goes again.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event as Flag
from uuid import uuid4

from cto.config.agents import WebhookOwner
from cto.config.model import Config
from cto.engine.look import PodsOwner
from cto.engine.rbac import Right, allowed
from cto.errors import ApiError
from cto.github.address import is_forwarded, path_of, public_url
from cto.github.deliveries import SIGNATURE, signature
from cto.github.hooks import APP_SECRETS, COMMON_SECRET
from cto.network.web import UnreachableError
from cto.objects import ObjectRef, ref_of, secret_data
from cto.ports import Clock, Cluster
from cto.result import Check, CheckStatus, Topic

PROBE = "cto-probe"
_TRIGGER = "probe"
_LABEL, _OVER_S = "cto.dev/probe", 600.0
_RIGHTS = ("get", "list", "delete")
# In all, of the 15 s that a status may take.
_LONGEST_S, _ASKED_S, _AGAIN_S, _LOOK_S = 12.0, 4.0, 4.0, 0.25
_TAKEN = "success"
_FAILED = "CTO-1900"
_LACKING = "`cto install`, as before, makes one; then `cto github setup` lets GitHub know it."

Send = Callable[[str, Mapping[str, str], bytes, float], tuple[int, str]]
"""Posts to a path, or an address: headers, body, seconds. Returns the status and the answer.

Raises:
    UnreachableError: Nobody answers there.
    ApiError: The API server does not ask the receiver.
"""


class Fault(Exception):  # noqa: N818 - what is wrong with the platform, not with us
    """Something is wrong on the way of an event."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


@dataclass
class Delivery:
    """Tries the way of an event.

    Attributes:
        config: Of what is installed.
        namespace: Of receiver and Sensor.
        starter: The Sensor that starts agents, if there is one.
        outside: Posts to an address.
        inside: Posts to a path of the receiver, by the API server.
    """

    cluster: Cluster
    clock: Clock
    config: Config
    namespace: str
    starter: PodsOwner | None
    outside: Send
    inside: Send
    _nonces: list[str] = field(default_factory=list)

    def __call__(self, topic: Topic, message: str) -> Check:
        """Return the check; `message` says what was found of the receiver so far."""
        try:
            return self._check(topic, message)
        except ApiError as error:
            if error.is_forbidden:
                # Not everybody who may look at the platform may read its secrets.
                return topic.passed(f"{message}; no event was sent: {error.message}")
            text = f"{message}; no event got through: {error.message}"
            return topic.warning(text, fix="Look again: `cto status`.")

    def _check(self, topic: Topic, message: str) -> Check:
        denied = [verb for verb in _RIGHTS if not self._may(verb)]
        if denied:
            told = f"{' and '.join(denied)} configmaps in {self.namespace} is not allowed"
            return topic.passed(f"{message}; no event was sent: {told}")
        entries = self._entries()
        if not entries and not self._agents():
            return topic.passed(f"{message}; no agent is switched on")
        if not entries or (self.starter and not self._is_tried(self.starter)):
            # An older installer's: nothing is wrong with it.
            fix = "`cto install`, as before, adds what it takes to try it."
            return topic.warning(f"{message}; no event was sent: nothing would answer it", fix=fix)
        # The one webhook for all is nobody's.
        lacking = [] if "" in entries else [name for name in self._agents() if name not in entries]
        if lacking:
            message = f"{message}; Secret {APP_SECRETS} has nothing of {', '.join(lacking)}"
        try:
            found = self._tried(topic, message, entries)
        except Fault as fault:
            text = f"{message}; {fault.message}"
            return topic.failed(text, fix=fault.fix, code=_FAILED)
        finally:
            # What is left goes at a later look; what was found is told in any case.
            with suppress(ApiError):
                self._clean()
        is_less = lacking and found.status is CheckStatus.PASSED
        return topic.warning(found.message, fix=_LACKING) if is_less else found

    def _tried(self, topic: Topic, message: str, entries: Mapping[str, str]) -> Check:
        base = public_url(self.config)
        if base is None or is_forwarded(self.config):
            took = self._through(self.inside, "", entries)
            why = "nothing answers at the public one" if base else "no public one is known"
            return topic.passed(f"{message}; {took}, by the internal address: {why}")
        try:
            return topic.passed(f"{message}; {self._through(self.outside, base, entries)}")
        except UnreachableError as error:
            return self._unreached(topic, message, f"{base} is not reached from here: {error}")

    def _unreached(self, topic: Topic, message: str, told: str) -> Check:
        """Return what the internal address says where the public one says nothing."""
        fix = (
            "See that its name leads to the ingress or the tunnel, and that GitHub can trust its "
            "certificate. If only this machine does not reach it, `cto github status` has what "
            "GitHub says."
        )
        try:
            left = _LONGEST_S - _ASKED_S
            took = self._through(self.inside, "", self._entries(), longest_s=left)
        except (Fault, UnreachableError, ApiError) as error:
            told = f"{told}; nor does the internal address do: {getattr(error, 'message', error)}"
            return topic.failed(f"{message}; {told}", fix=fix, code=_FAILED)
        return topic.warning(f"{message}; {told}; {took}, by the internal address", fix=fix)

    def _may(self, verb: str) -> bool:
        return allowed(self.cluster, Right(verb, "", "configmaps", self.namespace))

    def _entries(self) -> dict[str, str]:
        """Return agent -> secret, '' for the one webhook of all; the Sensor hears the first."""
        if self.config.github.webhooks is not WebhookOwner.APPS:
            value = self._values(COMMON_SECRET[0]).get(COMMON_SECRET[1], "")
            return {"": value} if value else {}
        values = self._values(APP_SECRETS)
        return {name: values[name] for name in self._agents() if name in values}

    def _agents(self) -> list[str]:
        return sorted(name for name, agent in self.config.agents.items() if agent.enabled)

    def _is_tried(self, starter: PodsOwner) -> bool:
        """Tell whether the Sensor knows of our event."""
        found = self.cluster.get(starter.ref) or {}
        triggers = (found.get("spec") or {}).get("triggers") or ()
        return any(one["template"]["name"] == _TRIGGER for one in triggers)

    def _values(self, name: str) -> dict[str, str]:
        return secret_data(self.cluster.get(ObjectRef("v1", "Secret", self.namespace, name)))

    def _through(
        self, send: Send, base: str, entries: Mapping[str, str], *, longest_s: float = _LONGEST_S
    ) -> str:
        """Send events, and return what came of them.

        Raises:
            Fault: Something is wrong.
        """
        begun, (first, secret) = self.clock.monotonic(), next(iter(entries.items()))
        way = _Way(self.clock, send, base, begun + longest_s)
        wrong = secrets.token_hex(16)
        status, _ = way.sent(first, secrets.token_hex(20), self._noted(wrong))
        if status == 200:
            text = f"{way.where(first)} takes events that are signed with another secret"
            raise Fault(text, "See what answers there: it is not the platform's receiver.")
        for agent, value in list(entries.items())[1:]:
            way.taken(agent, value, secrets.token_hex(16))
        # It hears the first agent's App, whoever has a secret.
        starter = self.starter if first in ("", self._agents()[0]) else None
        took = self._arrives(way, first, secret, starter) if starter else 0.0
        if self.cluster.get(self._ref(wrong)):
            text = "an event that was refused got through all the same"
            raise Fault(text, "See who else writes to the event bus.")
        if not starter:
            untried = "whether it starts agents was not tried"
            why = untried if self.starter else "there is nobody to start"
            return f"{way.where(first)} takes what is signed; {why}"
        return f"an event arrives by {way.where(first)} in {took:.1f} s"

    def _arrives(self, way: _Way, agent: str, secret: str, starter: PodsOwner) -> float:
        """Send an event until the Sensor has seen one: what came before it heard is lost."""
        begun = self.clock.monotonic()
        while True:
            nonce = self._noted(secrets.token_hex(16))
            way.taken(agent, secret, nonce)
            until = min(self.clock.monotonic() + _AGAIN_S, way.end)
            while self.clock.monotonic() < until:
                if self.cluster.get(self._ref(nonce)):
                    return self.clock.monotonic() - begun
                self.clock.wait(Flag(), _LOOK_S)
            if self.clock.monotonic() >= way.end:
                look = f"kubectl -n {self.namespace} logs -l {starter.pods}"
                text = "an event is taken, and starts nothing"
                raise Fault(text, f"Look at `{look}`, and at the pods of EventBus default.")

    def _noted(self, nonce: str) -> str:
        self._nonces.append(nonce)
        return nonce

    def _ref(self, nonce: str) -> ObjectRef:
        return ObjectRef("v1", "ConfigMap", self.namespace, f"{PROBE}-{nonce}")

    def _clean(self) -> None:
        """Take away what the events made, and what came too late for another look."""
        while self._nonces:
            self.cluster.delete(self._ref(self._nonces.pop()))
        for one in self.cluster.list_metadata(
            "v1", "ConfigMap", namespace=self.namespace, labels=f"{_LABEL}=true"
        ):
            made = datetime.fromisoformat(one["metadata"]["creationTimestamp"])
            if (self.cluster.now() - made).total_seconds() > _OVER_S:
                self.cluster.delete(ref_of(one))


@dataclass(frozen=True)
class _Way:
    """How events are sent, and until when."""

    clock: Clock
    send: Send
    base: str
    end: float

    def where(self, agent: str) -> str:
        return f"{self.base}{path_of(agent)}"

    def sent(self, agent: str, secret: str, nonce: str) -> tuple[int, str]:
        body = json.dumps({"nonce": nonce}).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": PROBE,
            "X-GitHub-Delivery": str(uuid4()),
            SIGNATURE: signature(body, secret),
        }
        left = max(self.end - self.clock.monotonic(), 0.5)
        return self.send(self.where(agent), headers, body, min(_ASKED_S, left))

    def taken(self, agent: str, secret: str, nonce: str) -> None:
        """Send an event that has to be taken.

        Raises:
            Fault: It is not.
        """
        status, text = self.sent(agent, secret, nonce)
        if status == 200 and text.strip() == _TAKEN:
            return
        where = self.where(agent)
        if status == 400:
            told = f"{where} refuses what is signed with its secret"
            fix = f"`cto github rotate {agent}`" if agent else "`cto github rotate`"
            raise Fault(told, f"{fix} gives it another one, and starts the receiver anew.")
        if status == 500 and "event" in text:
            told = f"{where} cannot pass events on ({status})"
            raise Fault(told, "Look at the pods of EventBus default.")
        told = f"{where} is answered by something else ({status})"
        fix = "See that the tunnel or the ingress leads to the receiver: `cto access argo-events`."
        raise Fault(told, fix)
