"""Runs of agents on a fake API server, and somebody who plays Jobs and kubelets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cto import assets
from cto.engine.agentsettings import Settings
from cto.engine.cache import NOTHING, nothing_lacks
from cto.engine.tasks import RUN
from cto.objects import Manifest, ObjectRef, load_yaml
from cto.ports import Cluster
from cto_controller.attempts import Attempt
from cto_controller.control import FOLLOWED, Controller
from cto_controller.runs import Run
from cto_controller.serving import Metrics
from cto_controller.tokens import Minted, TokenError
from fakes.clock import FakeClock
from fakes.cluster import FakeCluster

NAMESPACE = "cto"
API = "agents.platform/v1"
TEMPLATES = assets.root() / "templates" / "agents"
CRDS = assets.root() / "bundle" / "charts" / "controller" / "crds"


class AllThere:
    """Implements `View`: what the API server has, without a watch in between."""

    lacking = staticmethod(nothing_lacks)

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def objects(self, api_version: str, kind: str, namespace: str) -> Mapping[str, Manifest]:
        if (api_version, kind) not in FOLLOWED:
            return NOTHING
        found = self._cluster.list(api_version, kind, namespace=namespace)
        return {item["metadata"]["name"]: item for item in found}

    def last_line(self, tail: object) -> str:
        return ""

    def unchanged_s(self, manifest: Manifest) -> float:
        return 0.0

    def silent_programs(self) -> Mapping[str, str]:
        return {}


class FakeGitHub:
    """Mints tokens that are no secrets; with `refusal` none."""

    def __init__(self, cluster: Cluster) -> None:
        self.minted: list[Attempt] = []
        self.refusal = ""
        self._cluster = cluster

    def mint(self, attempt: Attempt) -> Minted:
        if self.refusal:
            raise TokenError(self.refusal)
        self.minted.append(attempt)
        value = f"planted-token-{len(self.minted)}"
        return Minted(value, self._cluster.now() + timedelta(hours=1))


class Runs:
    """A namespace with a controller. `pass_` makes it look once."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.cluster = FakeCluster()
        for path in sorted(CRDS.glob("*.yaml")):
            self.cluster.add(load_yaml(path.read_text()))
        self.cluster.add({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        agents = {
            name: {"githubApp": f"acme-{name}", "image": f"example.com/{name}:1", "cli": "echo"}
            for name in ("rex", "tess")
        }
        told = {"agents": agents, "queue": {"maxConcurrent": 10}, **(settings or {})}
        self.settings = Settings.model_validate(told)
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.github = FakeGitHub(self.cluster)
        self.controller = self.another()
        self._made = 0

    def another(self, templates: Path = TEMPLATES) -> Controller:
        """Return a controller that knows nothing yet, as after a crash."""
        return Controller(
            self.cluster,
            AllThere(self.cluster),
            self.clock,
            namespace=NAMESPACE,
            settings=self.settings,
            templates=templates,
            github=self.github,  # type: ignore[arg-type] # it has its one method
            metrics=self.metrics,
        )

    def add(self, name: str, *, kind: str = "CodeRun", **spec: Any) -> Run:
        self._made += 1
        told = {
            "repositoryUrl": f"https://github.com/acme/{name}",
            "githubApp": "acme-rex",
            "prompt": "Do it.",
            **spec,
        }
        metadata = {"name": name, "namespace": NAMESPACE}
        metadata["creationTimestamp"] = f"2030-01-01T00:00:{self._made:02d}Z"
        return Run(
            self.cluster.add({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": told})
        )

    def change(self, name: str, **spec: Any) -> None:
        live = self.get(name).manifest
        self.cluster.add({**live, "spec": {**live["spec"], **spec}})

    def pass_(self, times: int = 1) -> None:
        for _ in range(times):
            self.controller.tick()

    def get(self, name: str, kind: str = "CodeRun") -> Run:
        found = self.cluster.peek(ObjectRef(API, kind, NAMESPACE, name))
        assert found, name
        return Run(found)

    def status(self, name: str) -> Mapping[str, Any]:
        return self.get(name).status

    def jobs(self, name: str = "") -> list[Manifest]:
        """Return the Jobs (of one run), the first attempt first."""
        found = self.cluster.list("batch/v1", "Job", namespace=NAMESPACE)
        uid = self.get(name).uid if name else ""
        jobs = [j for j in found if uid in ("", j["metadata"]["labels"][RUN])]
        return sorted(jobs, key=lambda j: j["metadata"]["labels"]["agents.platform/attempt"])

    def names(self, kind: str) -> list[str]:
        found = self.cluster.list("v1", kind, namespace=NAMESPACE)
        return sorted(item["metadata"]["name"] for item in found)

    def pod(self, job: Manifest, status: Mapping[str, Any]) -> None:
        name = job["metadata"]["name"]
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "controller": True}
        metadata = {"name": f"{name}-pod", "namespace": NAMESPACE, "labels": {"job-name": name}}
        owned = {**metadata, "ownerReferences": [{**owner, "uid": job["metadata"]["uid"]}]}
        spec = job["spec"]["template"]["spec"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": owned, "spec": spec}
        self.cluster.add({**pod, "status": dict(status)})

    def end(
        self, job: Manifest, *, code: int = 0, said: object = None, container: str = "agent"
    ) -> None:
        """End a Job as the kubelet and the Job controller do: with the result in its pod."""
        text = said if isinstance(said, str) else json.dumps(said) if said else ""
        ended = {"exitCode": code, "message": text}
        key = "containerStatuses" if container == "agent" else "initContainerStatuses"
        row = {"name": container, "state": {"terminated": ended}}
        phase = "Failed" if code else "Succeeded"
        self.pod(job, {"phase": phase, key: [row]})
        self.finish(job, "Failed" if code else "Complete")

    def finish(self, job: Manifest, condition: str, message: str = "") -> None:
        at = f"{self.cluster.now():%Y-%m-%dT%H:%M:%SZ}"
        row = {"type": condition, "status": "True", "lastTransitionTime": at, "message": message}
        ref = ObjectRef("batch/v1", "Job", NAMESPACE, job["metadata"]["name"])
        self.cluster.set_status(ref, {"startTime": at, "conditions": [row]})
