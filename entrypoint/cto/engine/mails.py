"""Sends a test mail from beside each program of the platform that sends mails.

A Job in its namespace has what it has: the same server, the same password, the same network.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from threading import Event as Flag
from typing import Any

from cto.catalog import Component
from cto.engine.agents import InstalledRunner, runner_of
from cto.engine.readiness import ReadyState, status_dict, status_of
from cto.errors import DegradedError
from cto.objects import Manifest, ObjectRef, ref_of
from cto.plan import labels
from cto.plan.network import is_set
from cto.plan.observed import State
from cto.ports import Clock, Cluster

_LABEL = "cto.dev/mail-test"
_DEADLINE_S = 120.0
_LOOK_S = 0.5
_KEPT_S = 600
_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


@dataclass(frozen=True)
class Way:
    """A program that sends mails, and what came of a test of it."""

    component: str
    namespace: str
    status: str = "skipped"
    message: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


class Mails:
    """The mails of a platform.

    Args:
        source: The program that sends one.
        simulated: No program runs.
    """

    def __init__(
        self, cluster: Cluster, clock: Clock, source: str, *, simulated: bool = False
    ) -> None:
        self._simulated = simulated
        self._cluster = cluster
        self._clock = clock
        self._source = source

    def test(self, components: Sequence[Component], state: State) -> Sequence[Way]:
        """Send a mail by each way that there is, and say what came of it.

        Raises:
            DegradedError: CTO-1903, the platform sends no mails.
        """
        if not is_set("features.mail_notifications", state.config):
            text = "the platform sends no mails: features.mail_notifications is off"
            raise DegradedError("CTO-1903", text)
        # The image in which a Python is, wherever images come from, and what it is pulled with.
        runner = runner_of(components, state)
        found: list[Way] = []
        begun: dict[str, ObjectRef] = {}
        for component in components:
            way = _way(component, state)
            if way and not way.message and self._simulated:
                way = replace(way, message="nodes are simulated: nobody sends anything")
            if way and not way.message:
                made = self._cluster.create(self._job(component, state.config, runner))
                begun[component.name] = ref_of(made)
            found += [way] if way else []
        return [self._followed(way, begun.get(way.component)) for way in found]

    def _followed(self, way: Way, job: ObjectRef | None) -> Way:
        end = self._clock.monotonic() + _DEADLINE_S
        while job and self._clock.monotonic() < end:
            if (found := self._cluster.get(job)) is None:
                return replace(way, status="failed", message="somebody deleted its Job")
            stands = status_of(found)
            if stands.ready:
                return replace(way, status="sent")
            if stands.state is ReadyState.FAILED:
                return replace(way, status="failed", message=self._why(job) or stands.message)
            self._clock.wait(Flag(), _LOOK_S)
        if job is None:
            return way
        why = self._why(job) or "its pod is not seen"
        return replace(way, status="failed", message=f"not over after {_DEADLINE_S:.0f} s: {why}")

    def _why(self, job: ObjectRef) -> str:
        """Return what the pod says last, or what it waits for."""
        selected = f"batch.kubernetes.io/job-name={job.name}"
        for pod in self._cluster.list("v1", "Pod", namespace=job.namespace, labels=selected):
            for status in status_dict(pod).get("containerStatuses") or ():
                if waiting := (status.get("state") or {}).get("waiting"):
                    return ": ".join(filter(None, map(waiting.get, ("reason", "message"))))
            name = pod["metadata"]["name"]
            if text := self._cluster.logs(job.namespace, name, "mail", lines=1):
                return text.strip()
        return ""

    def _job(
        self, component: Component, config: Mapping[str, Any], runner: InstalledRunner | None
    ) -> Manifest:
        marks = {labels.TRACE: "true", _LABEL: "true"}
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": f"mail-test-{secrets.token_hex(4)}",
                "namespace": component.namespace,
                "labels": marks,
            },
            "spec": {
                "backoffLimit": 0,
                "ttlSecondsAfterFinished": _KEPT_S,
                "activeDeadlineSeconds": int(_DEADLINE_S),
                "template": {
                    "metadata": {"labels": marks},
                    "spec": self._pod(component, config, runner),
                },
            },
        }

    def _pod(
        self, component: Component, config: Mapping[str, Any], runner: InstalledRunner | None
    ) -> Manifest:
        program = self._cluster.get(runner.program) if runner else None
        if program is None or component.mail is None:
            what = runner.program if runner else "the Multi-Agent Controller"
            text = f"{what}, whose image the test needs, is not there"
            raise DegradedError("CTO-1903", text)
        pod = program["spec"]["template"]["spec"]
        name, _, key = component.mail.secret.partition("/")
        password = {"secretKeyRef": {"name": name, "key": key, "optional": True}}
        container = {
            "name": "mail",
            "image": pod["containers"][0]["image"],
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-I", "-c", self._source],
            "env": [
                {"name": "MAIL", "value": json.dumps(_mail(component, config))},
                {"name": "MAIL_PASSWORD", "valueFrom": password},
            ],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            "securityContext": _CONTAINER_SECURITY,
        }
        return {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "imagePullSecrets": pod.get("imagePullSecrets") or [],
            "securityContext": _POD_SECURITY,
            "containers": [container],
        }


def _mail(component: Component, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the program is told of the mail, without the password."""
    names = ("host", "port", "encryption", "username", "sender", "recipients")
    return {
        **{name: config["smtp"].get(name) for name in names},
        "subject": f"{config['platform']['name']}: a test of {component.title}",
        "text": f"cto notify test sent this with the settings of {component.title}.",
    }


def _way(component: Component, state: State) -> Way | None:
    """Return what is to be tried; with a message where it is not."""
    if component.mail is None:
        return None
    told = ""
    if component.name not in state.releases:
        told = "not installed"
    elif component.mail.when and not is_set(component.mail.when, state.config):
        told = f"sends none without {component.mail.when}"
    return Way(component.name, component.namespace, message=told)
