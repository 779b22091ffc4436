"""Fetches what GitHub tried to deliver, and hands it to the receiver in the cluster.

For machines that nothing can reach: GitHub keeps for three days what it sent to an App's webhook,
whether it arrived or not. What was handed over is written down after each one, so that a kill at
any moment loses nothing; what comes a second time by that has the same delivery id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from cto.errors import ApiError, ConfigError, CtoError, ToolError
from cto.github.address import path_of
from cto.github.answers import GitHubError
from cto.github.client import Client
from cto.github.deliveries import FIELDS, ListedDelivery, signed
from cto.github.found import AppKey
from cto.github.hooks import APP_SECRETS
from cto.objects import Manifest, ObjectRef, secret_data
from cto.plan import labels
from cto.ports import Clock, Cluster

PLACES = "github-deliveries"
"""ConfigMap, beside the Apps' Secrets: what was handed over."""
# As `access` of bundle/components/argo-events has it.
_SERVICE, _PORT = "github-webhook", 12000
_DELIVERIES = "/app/hook/deliveries"
# What happened before anybody forwarded is of interest for so long.
_FIRST = timedelta(hours=1)
# A delivery may get into the list after later ones, and its content after that.
_LATE = timedelta(minutes=10)
_MOST = 500
_CODE = "CTO-1583"
PAUSE_S = 5.0
"""Between two rounds: a list that is the same counts for no limit."""
# This does count.
_CHECKED_S = 60.0


_Found: TypeAlias = "tuple[Sequence[AppSource], Mapping[str, str]]"


class ReceiverError(ToolError):
    """The receiver in the cluster does not take deliveries: it is to be tried again later."""


@dataclass(frozen=True)
class AppSource:
    """An App whose deliveries are forwarded.

    Attributes:
        secret: What the receiver checks signatures with.
    """

    agent: str
    key: AppKey
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Cursor:
    """How far an App's deliveries were handed over.

    Attributes:
        floor: All up to this id are done with.
        done: Of later ones, those that are: id -> guid and when it happened.
    """

    floor: int = 0
    done: Mapping[int, tuple[str, float]] = field(default_factory=dict)

    def with_done(self, one: ListedDelivery) -> Cursor:
        return replace(self, done={**self.done, one.id: (one.guid, one.at.timestamp())})

    def raised(self, before: datetime, below: int) -> Cursor:
        """Return it with the floor under what may still come: of late, or not done."""
        newest = sorted(self.done)[-_MOST:]
        over = [
            id_
            for id_, (_, at) in self.done.items()
            if id_ < below and (at < before.timestamp() or id_ < newest[0])
        ]
        floor = max([self.floor, *over])
        return Cursor(floor, {id_: told for id_, told in self.done.items() if id_ > floor})


class Forwarder:
    """Forwards deliveries of Apps.

    Args:
        namespace: Of the ConfigMap that says how far it got.
        receiver: The namespace in which webhooks come in.
        failed_only: Leave out what arrived: webhooks reach the cluster as well.
        notice: Told of what is given up.
        settings: Returns where the settings of an agent's App are.
    """

    def __init__(
        self,
        cluster: Cluster,
        client: Client,
        clock: Clock,
        *,
        namespace: str,
        receiver: str,
        failed_only: bool = False,
        notice: Callable[[str], None] = lambda _: None,
        settings: Callable[[str], str] = lambda _: "its settings",
    ) -> None:
        self._cluster = cluster
        self._client = client
        self._clock = clock
        self._ref = ObjectRef("v1", "ConfigMap", namespace, PLACES)
        self._receiver = receiver
        self._failed_only = failed_only
        self._notice = notice
        self._settings = settings
        self._checked: dict[str, tuple[float, str]] = {}
        self._etags: dict[str, dict[str, str]] = {}

    def check(self, source: AppSource) -> None:
        """See now and then that GitHub keeps what an App's webhook would be sent.

        Raises:
            ConfigError: CTO-1370, it does not.
            GitHubError: GitHub cannot be asked.
        """
        now = self._clock.monotonic()
        at, flaw = self._checked.get(source.agent, (now - _CHECKED_S, ""))
        if now - at >= _CHECKED_S:
            flaw = self.flaw(source)
            self._checked[source.agent] = now, flaw
        if flaw:
            where = self._settings(source.agent)
            hint = f"At {where} give it one: Active, and an address, which may lead nowhere."
            raise ConfigError("CTO-1370", flaw, hint=hint)

    def flaw(self, source: AppSource) -> str:
        """Say why GitHub keeps nothing that could be forwarded; '' if nothing tells.

        Raises:
            GitHubError: GitHub cannot be asked.
        """
        try:
            hook = self._client.ask("GET", "/app/hook/config", "its webhook", app=source.key)
        except GitHubError as error:
            if not error.is_absence:
                raise
            return "its App has no webhook, so GitHub keeps nothing of what it would send"
        return "" if hook.data.get("url") else "the webhook of its App has no address"

    def forward(self, source: AppSource) -> Iterator[ListedDelivery]:
        """Hand over what is new, the oldest first; yield each that was.

        Raises:
            GitHubError: GitHub cannot be asked.
            ReceiverError: The receiver takes nothing, for now.
            ApiError: The cluster cannot be asked, or another one forwards at the same moment.
        """
        etags = self._etags.pop(source.agent, {})
        held, there = self._held()
        known = there.get(source.agent)
        found, place = self._listed(source, known, etags)
        left = [one for one in found if one.id not in place.done]
        waiting: list[int] = []
        for number, one in enumerate(left):
            outcome = self._handed(source, one, place)
            if outcome is None:
                # Its content is not there yet.
                waiting.append(one.id)
                continue
            following = left[number + 1].id if number + 1 < len(left) else one.id + 1
            below = min([*waiting, following])
            place = place.with_done(one).raised(self._clock.now() - _LATE, below)
            held = self._hold(held, source.agent, place)
            if outcome:
                yield one
        if known is None and not place.done:
            if place == Cursor() and not found:
                # Made with a webhook, it would have been sent a ping.
                text = f"{source.agent}: GitHub keeps nothing of it so far: is its webhook active?"
                self._notice(f"{text} See {self._settings(source.agent)}")
            # From now on nothing is too old.
            self._hold(held, source.agent, place)
        if not waiting:
            # Only now: until then the same list is to be looked at again.
            self._etags[source.agent] = etags

    def _listed(
        self, source: AppSource, known: Cursor | None, etags: dict[str, str]
    ) -> tuple[Sequence[ListedDelivery], Cursor]:
        """Return what may be new, the oldest first, and how far it got before."""
        oldest = self._clock.now() - _FIRST
        place = known or Cursor()
        found: list[ListedDelivery] = []
        pages = self._client.pages(
            _DELIVERIES, "its deliveries", app=source.key, etags=etags, fields=FIELDS
        )
        for item in pages:
            one = ListedDelivery.of(source.agent, item)
            if known is None and one.at < oldest:
                place = Cursor(one.id)
            if one.id <= place.floor:
                break
            found.append(one)
        return sorted(found, key=lambda one: one.id), place

    def _handed(self, source: AppSource, one: ListedDelivery, place: Cursor) -> bool | None:
        """Hand a delivery over, if it is to be; None if GitHub has no content of it yet."""
        again = one.guid in {guid for guid, _ in place.done.values()}
        if again or (self._failed_only and one.arrived):
            return False
        try:
            path = f"{_DELIVERIES}/{one.id}"
            request = self._client.ask("GET", path, "a delivery", app=source.key).of(
                "request", dict
            )
        except GitHubError as error:
            if not error.is_absence:
                raise
            if one.at > self._clock.now() - _LATE:
                return None
            self._notice(f"{_told(one)}: GitHub has no content of it; it is given up")
            return False
        body = json.dumps(
            request.get("payload"), separators=(",", ":"), ensure_ascii=False
        ).encode()
        headers = signed(request.get("headers") or {}, one, body, source.secret)
        status, text = self._cluster.post(
            self._receiver, _SERVICE, _PORT, path_of(one.agent), body=body, headers=headers
        )
        if status < 300:
            return True
        said = " ".join(text.split())[:200]
        if status == 400 and "signature" not in said:
            # It would say so again: the body is too large, or none that it reads.
            self._notice(f"{_told(one)}: the receiver refuses it ({said}); it is given up")
            return False
        message = f"{_told(one)}: the receiver answered {status} {said}".rstrip()
        raise ReceiverError(_CODE, message)

    def _held(self) -> tuple[Manifest | None, dict[str, Cursor]]:
        found = self._cluster.get(self._ref)
        data: Mapping[str, str] = (found or {}).get("data") or {}
        places = ((agent, _cursor(text)) for agent, text in data.items())
        return found, {agent: place for agent, place in places if place}

    def _hold(self, held: Manifest | None, agent: str, place: Cursor) -> Manifest:
        """Write down how far it got; an update, which fails where another one did so."""
        text = json.dumps({"floor": place.floor, "done": [[k, *v] for k, v in place.done.items()]})
        if held is not None:
            data = {**(held.get("data") or {}), agent: text}
            return self._cluster.update({**held, "data": data})
        metadata = {
            "name": self._ref.name,
            "namespace": self._ref.namespace,
            "labels": {labels.MANAGED_BY: labels.OWNER},
        }
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        return self._cluster.create({**made, "data": {agent: text}})


class ForwardLoop:
    """Goes round by round; says of each App what is wrong when that changes.

    Args:
        found: Returns the Apps that can be forwarded, and of the others why they cannot: secrets
            may be rotated meanwhile.
        handed: Told of each delivery that was handed over.
        say: Told of troubles (`warning`) and of their end (`info`).

    Attributes:
        agents: Whose Apps the last round could ask for.
    """

    def __init__(
        self,
        forwarder: Forwarder,
        found: Callable[[], _Found],
        *,
        handed: Callable[[ListedDelivery], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._forwarder = forwarder
        self._look = found
        self._handed = handed
        self._say = say
        self._last: _Found | None = None
        self._wrong: Mapping[str, str] = {}
        self.agents: Sequence[str] = ()

    def round(self) -> Mapping[str, CtoError]:
        """Hand over what is new of every App; return what failed, by agent: the others go on.

        Raises:
            ApiError: The cluster cannot be asked, and never could.
        """
        found, lacking = self._sources()
        failed: dict[str, CtoError] = {}
        for source in found:
            try:
                self._forwarder.check(source)
                for one in self._forwarder.forward(source):
                    self._handed(one)
            except CtoError as error:
                failed[source.agent] = error
        unfit = {agent for agent, error in failed.items() if isinstance(error, ConfigError)}
        self.agents = [one.agent for one in found if one.agent not in unfit]
        self._tell({**lacking, **{agent: _line(agent, one) for agent, one in failed.items()}})
        return failed

    def _sources(self) -> _Found:
        """Look anew; where the cluster cannot be asked, what was there before is tried."""
        try:
            self._last = self._look()
        except ApiError:
            if self._last is None:
                raise
        return self._last

    def _tell(self, wrong: Mapping[str, str]) -> None:
        for agent, text in wrong.items():
            if self._wrong.get(agent) != text:
                self._say("warning", f"{agent}: {text}")
        for agent in self._wrong.keys() - wrong.keys():
            self._say("info", f"{agent}: is forwarded now")
        self._wrong = wrong


def _line(agent: str, error: CtoError) -> str:
    """Return what is said of a failure, behind the agent's name."""
    return f"{error.code}: {error.message.removeprefix(f'{agent}: ')}. {error.hint}"


def sources(
    cluster: Cluster,
    apps: Mapping[str, ObjectRef],
    receiver: str,
    learned: Callable[[Sequence[str]], None] = lambda _: None,
) -> tuple[list[AppSource], dict[str, str]]:
    """Return the Apps that can be forwarded, and of the others why they cannot.

    Args:
        cluster: Who has the Secrets.
        apps: Agent -> the Secret with the key of its App.
        receiver: The namespace in which webhooks come in.
        learned: Told of secrets before they are used.
    """
    hooks = secret_data(cluster.get(ObjectRef("v1", "Secret", receiver, APP_SECRETS)))
    found: list[AppSource] = []
    lacking: dict[str, str] = {}
    for agent, ref in apps.items():
        data = secret_data(cluster.get(ref))
        learned([data.get("private-key", ""), hooks.get(agent, "")])
        key = AppKey.of(data)
        if key is None:
            lacking[agent] = f"Secret {ref.name} with the key of its App is not there"
        elif agent not in hooks:
            lacking[agent] = f"Secret {APP_SECRETS} in {receiver} has nothing of it"
        else:
            found.append(AppSource(agent, key, hooks[agent]))
    return found, lacking


def _cursor(text: str) -> Cursor | None:
    """Return what was written down; None if somebody wrote over it: it begins anew then."""
    try:
        told = json.loads(text)
        done = {int(id_): (str(guid), float(at)) for id_, guid, at in told["done"]}
        return Cursor(int(told["floor"]), done)
    except (ValueError, TypeError, KeyError):
        return None


def _told(one: ListedDelivery) -> str:
    return f"{one.agent}: {one.event} {one.id}"
