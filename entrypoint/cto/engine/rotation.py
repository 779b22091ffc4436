"""Gives webhooks other secrets: in the cluster, and to the program that checks signatures.

Which keys are on their way, and since when, stands at the Secret itself, written with the new
values in one: who is killed goes on with these, and makes no others.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Event as Flag

from cto.engine.look import PodsOwner
from cto.engine.readiness import status_of
from cto.engine.secretsteps import random_text
from cto.errors import DegradedError, WaitError
from cto.objects import Manifest, ObjectRef, annotations_of
from cto.ports import Clock, Cluster

ROTATING = "cto.dev/rotating"
_RESTARTED = "cto.dev/rotated"
# Beside the installer, which leaves alone what it has not applied.
_MANAGER = "cto-rotate"
_LENGTH = 40
_LOOK_S, _LONGEST_S = 1.0, 180.0


@dataclass(frozen=True)
class Turn:
    """A rotation that is not over.

    Attributes:
        keys: Of the Secret, that have new values.
        since: When they got them.
    """

    keys: tuple[str, ...]
    since: datetime


class Rotation:
    """Changes the values of one Secret of webhooks.

    Args:
        secret: It is in the namespace of the receiver.
        sources: What reads it, once: the receiver.
        learned: Told of values before they are used.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        secret: ObjectRef,
        sources: Sequence[PodsOwner],
        learned: Callable[[Collection[str]], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._secret = secret
        self._sources = sources
        self._learned = learned

    def begin(self, keys: Collection[str]) -> Turn:
        """Give keys new values, but for those that have got one and did not get further.

        Raises:
            DegradedError: CTO-1901, there is no such Secret or key yet.
        """
        found = self._cluster.get(self._secret)
        data = (found or {}).get("data") or {}
        if found is None or set(keys) - data.keys():
            lacking = ", ".join(sorted(set(keys) - data.keys()))
            raise DegradedError("CTO-1901", f"{self._secret} has no secret for {lacking}")
        before = _turn(found)
        fresh = sorted(set(keys) - set(before.keys if before else ()))
        turn = Turn(
            tuple(sorted({*fresh, *(before.keys if before else ())})),
            before.since if before else self._clock.now(),
        )
        values = {key: random_text(_LENGTH) for key in fresh}
        self._learned(values.values())
        encoded = {key: base64.b64encode(one.encode()).decode() for key, one in values.items()}
        if encoded:
            self._write(found, {**data, **encoded}, turn)
        return turn

    def restart(self, turn: Turn) -> None:
        """Start the receiver anew, which reads secrets once, and wait until it is there.

        Raises:
            WaitError: CTO-1700, it does not get ready.
        """
        mark = f"{turn.since:%Y-%m-%dT%H:%M:%SZ} {','.join(turn.keys)}"
        # There is none before `cto install` knows whose events they are; it reads them then.
        there = [one for one in self._sources if self._cluster.get(one.ref)]
        for one in there:
            self._cluster.apply(_marked(one.ref, mark), manager=_MANAGER)
        for one in there:
            self._await(one, mark)

    def _await(self, source: PodsOwner, mark: str) -> None:
        end = self._clock.monotonic() + _LONGEST_S
        while why := self._unready(source, mark):
            if self._clock.monotonic() >= end:
                text = f"the receiver of webhooks is not ready after {_LONGEST_S:.0f} s: {why}"
                look = f"kubectl -n {source.ref.namespace} get pods -l {source.pods}"
                hint = f"Look at `{look}`, then run `cto github rotate` again: it goes on."
                raise WaitError("CTO-1700", text, hint=hint)
            self._clock.wait(Flag(), _LOOK_S)

    def finish(self) -> None:
        """Remember that it is over."""
        if found := self._cluster.get(self._secret):
            self._write(found, found.get("data") or {}, None)

    def _unready(self, source: PodsOwner, mark: str) -> str:
        """Return what the receiver waits for; '' if it has started anew, or nothing runs at all."""
        for found in self._cluster.list(
            "apps/v1", "Deployment", namespace=self._secret.namespace, labels=source.pods
        ):
            name = found["metadata"]["name"]
            if annotations_of(found["spec"].get("template") or {}).get(_RESTARTED) != mark:
                return f"Deployment {name} is the old one"
            stands = status_of(found)
            if not stands.ready:
                return f"Deployment {name} {stands.message}"
        return ""

    def _write(self, found: Manifest, data: dict[str, str], turn: Turn | None) -> None:
        marks = {k: v for k, v in annotations_of(found).items() if k != ROTATING}
        if turn:
            told = {"keys": list(turn.keys), "since": turn.since.isoformat()}
            marks[ROTATING] = json.dumps(told)
        metadata = {**found["metadata"], "annotations": marks}
        self._cluster.update({**found, "metadata": metadata, "data": data})


def _marked(source: ObjectRef, mark: str) -> Manifest:
    """Return what starts the pods of a source anew."""
    return {
        "apiVersion": source.api_version,
        "kind": source.kind,
        "metadata": {"name": source.name, "namespace": source.namespace},
        "spec": {"template": {"metadata": {"annotations": {_RESTARTED: mark}}}},
    }


def _turn(found: Manifest) -> Turn | None:
    """Return the rotation that is not over."""
    text = annotations_of(found).get(ROTATING)
    if text is None:
        return None
    try:
        told = json.loads(text)
        return Turn(tuple(map(str, told["keys"])), datetime.fromisoformat(told["since"]))
    except (ValueError, KeyError, TypeError):
        # Somebody wrote over it: all keys get new values then.
        return None
