"""GitHub's deliveries on their way through Argo Events, and a Sensor that shows where they end."""

from __future__ import annotations

import hmac
import http.client
import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import urlsplit

from .installer import CLUSTER, Installer
from .namespaces import inside

NAMESPACE = "argo-events"
READY_S = 180

# Writes a ConfigMap named after the delivery: what is made twice would be refused.
SENSOR = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: writer, namespace: argo-events}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: writer, namespace: argo-events}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [create]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: writer, namespace: argo-events}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: writer}
subjects: [{kind: ServiceAccount, name: writer}]
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: writer, namespace: argo-events}
spec:
  eventBusName: default
  template:
    serviceAccountName: writer
    securityContext: {runAsNonRoot: true, runAsUser: 9731, seccompProfile: {type: RuntimeDefault}}
    container:
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  dependencies:
    - name: probe
      eventSourceName: github
      eventName: %(entry)s
      filters: {data: [{path: body.X-GitHub-Event, type: string, value: ["^cto-test$"]}]}
  triggers:
    - atLeastOnce: true
      retryStrategy: {steps: 5, duration: 2s, factor: 2}
      template:
        name: write
        k8s:
          operation: create
          source:
            resource: {apiVersion: v1, kind: ConfigMap, metadata: {labels: {made-by: writer}}}
          parameters:
            - src: {dependencyName: probe, dataKey: body.X-GitHub-Delivery}
              dest: metadata.name
"""


def apply(installer: Installer, text: str) -> None:
    node, admin = f"{CLUSTER}-control-plane", "--kubeconfig=/etc/kubernetes/admin.conf"
    words = ("exec", "--interactive", node, "kubectl", admin, "apply", "-f", "-")
    installer.engine.run(*words, stdin=text)


def get(installer: Installer, *words: str) -> dict[str, Any]:
    found = installer.kubectl("get", "--namespace", NAMESPACE, *words, "-o", "json")
    return cast(dict[str, Any], json.loads(found))


def pods(installer: Installer, controller: str) -> list[dict[str, Any]]:
    """Return the pods that one of the controllers made."""
    found: list[dict[str, Any]] = get(installer, "pods", "-l", f"controller={controller}")["items"]
    return found


def waited(what: str, seconds: float, is_so: Callable[[], object]) -> float:
    """Wait until something is so; return for how long."""
    begun = time.monotonic()
    while not is_so():
        assert time.monotonic() - begun < seconds, f"after {seconds} s: {what}"
        time.sleep(1)
    return time.monotonic() - begun


def all_ready(look: Callable[[], list[dict[str, Any]]]) -> bool:
    """Tell whether there is something, and all that it says of itself is true."""
    found = [thing.get("status", {}).get("conditions", []) for thing in look()]
    return bool(found) and all(
        conditions and all(one["status"] == "True" for one in conditions) for conditions in found
    )


@dataclass
class Events:
    """The way of a delivery through an installed platform.

    Attributes:
        host: Where the machine publishes the webhook.
        entry: The name of the source's entry, which Sensors know it by.
    """

    installer: Installer
    host: str
    entry: str
    endpoint: str
    secret: bytes

    @classmethod
    def of(cls, installer: Installer, installed: dict[str, Any]) -> Events:
        """Take the entry of rex: its App is told of issues, which not all are."""
        entry = "app-rex"
        found = get(installer, "eventsource/github")["spec"]["github"][entry]
        wanted = found["webhookSecret"]
        secret = get(installer, f"secret/{wanted['name']}")
        url = next(one["url"] for one in installed["access"] if one["component"] == "argo-events")
        return cls(
            installer=installer,
            host=urlsplit(url).netloc,
            entry=entry,
            endpoint=found["webhook"]["endpoint"],
            secret=b64decode(secret["data"][wanted["key"]]),
        )

    def deliver(
        self,
        deliveries: Iterable[str],
        *,
        signed: bool = True,
        event: str = "cto-test",
        payload: Mapping[str, Any] = MappingProxyType({"action": "sent", "number": 1}),
    ) -> list[int]:
        """Send deliveries as GitHub does, one after another, and return the answers."""
        body = json.dumps(dict(payload)).encode()
        headers = {"Content-Type": "application/json", "X-GitHub-Event": event}
        if signed:
            headers |= self.signature(body)
        return self.post([(body, {**headers, "X-GitHub-Delivery": one}) for one in deliveries])

    def signature(self, body: bytes, method: str = "sha256") -> dict[str, str]:
        """Return the header of a body that is signed by GitHub's rules."""
        name = {"sha256": "X-Hub-Signature-256", "sha1": "X-Hub-Signature"}[method]
        return {name: f"{method}={hmac.new(self.secret, body, method).hexdigest()}"}

    def post(self, requests: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[int]:
        """Send bodies with their headers, one after another, and return the answers."""

        def send() -> list[int]:
            with closing(http.client.HTTPConnection(self.host, timeout=30)) as connection:
                return [self._send(connection, body, headers) for body, headers in requests]

        return inside(self.installer.engine.namespace, send)

    def _send(
        self, connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]
    ) -> int:
        connection.request("POST", self.endpoint, body, headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    def written(self) -> set[str]:
        """Return the deliveries that the Sensor made an object of."""
        found = get(self.installer, "configmaps", "-l", "made-by=writer")["items"]
        return {one["metadata"]["name"] for one in found}

    def listen(self) -> None:
        """Add the Sensor, and wait until it hears."""
        apply(self.installer, SENSOR % {"entry": self.entry})
        self.heard("writer", 1)

    def heard(self, sensor: str, subscriptions: int) -> None:
        """Wait until a Sensor hears all: what came before, it never gets."""
        pod = f"controller=sensor-controller,sensor-name={sensor}"
        log = ("logs", "-n", NAMESPACE, "-l", pod, "--tail=-1")
        waited(
            f"Sensor {sensor} does not subscribe",
            READY_S,
            lambda: (
                self.installer.kubectl(*log, code=None).count("Subscribing to subject")
                >= subscriptions
            ),
        )
