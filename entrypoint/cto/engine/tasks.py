"""Tasks of agents: the CodeRuns and DocsRuns that the controller works on."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import Event as Flag
from typing import Any

from cto.engine.readiness import Followed
from cto.errors import DegradedError, UsageError, nearest
from cto.objects import Manifest, ObjectRef, labels_of
from cto.ports import Clock, Cluster

API = "agents.platform/v1"
KINDS = ("CodeRun", "DocsRun")
# Labels of everything that is made for a run.
RUN = "agents.platform/run"
AGENT = "agents.platform/agent"
ATTEMPT = "agents.platform/attempt"
# What the Secret with the key of a GitHub App is called, before the App's name in small letters.
APP_KEYS = "github-app-"
# The container that the agent is in.
CONTAINER = "agent"


class RunPhase(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


ENDED = (RunPhase.SUCCEEDED, RunPhase.FAILED)

# What the installer tells the controller of each agent.
_AGENTS = "controller-agents"
_LOOK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """What an agent is to do. Empty is what the agent, or the repository, has by itself."""

    agent: str
    repository: str
    prompt: str
    branch: str = ""
    cli: str = ""
    model: str = ""

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of a CodeRun."""
        config = {"cliType": self.cli, "model": self.model}
        given = {
            "sourceBranch": self.branch,
            "cliConfig": {key: value for key, value in config.items() if value},
        }
        return {
            "githubApp": self.agent,
            "repositoryUrl": self.repository,
            "prompt": self.prompt,
            **{key: value for key, value in given.items() if value},
        }


@dataclass(frozen=True)
class Task(Followed):
    """A CodeRun or a DocsRun, as the cluster holds it."""

    @property
    def uid(self) -> str:
        return str(self.manifest["metadata"]["uid"])

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.manifest["spec"]
        return found

    @property
    def app(self) -> str:
        """Whose it is: the GitHub App of an agent, or the agent's own name."""
        return str(self.spec.get("githubApp") or self.spec.get("githubUser") or "")

    @property
    def phase(self) -> str:
        """A `Phase`; Pending as long as nobody has said anything."""
        return str(self.status.get("phase") or RunPhase.PENDING)

    @property
    def message(self) -> str:
        return str(self.status.get("message") or "")

    @property
    def is_seen(self) -> bool:
        """Whether the controller has said anything about it."""
        return bool(self.status.get("phase"))

    @property
    def has_ended(self) -> bool:
        return self.phase in ENDED

    @property
    def attempts(self) -> int:
        """How many attempts its status knows of."""
        return int(self.status.get("attempts") or 0)

    @property
    def created(self) -> datetime:
        return datetime.fromisoformat(self.manifest["metadata"]["creationTimestamp"])

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.manifest["kind"],
            "agent": self.app,
            "repository": self.spec["repositoryUrl"],
            "phase": self.phase,
            "message": self.message,
            "attempts": self.attempts,
            "pullRequestUrl": str(self.status.get("pullRequestUrl") or ""),
            "created": self.manifest["metadata"]["creationTimestamp"],
            "startedAt": str(self.status.get("startedAt") or ""),
            "finishedAt": str(self.status.get("finishedAt") or ""),
        }


class Tasks:
    """The tasks of a platform.

    Args:
        cluster: Where the platform is.
        namespace: That of the controller.
    """

    def __init__(self, cluster: Cluster, clock: Clock, namespace: str) -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace

    def start(self, wish: TaskSpec) -> Task:
        """Make a task for an agent.

        Raises:
            DegradedError: CTO-1901, there is no platform.
            UsageError: CTO-1200, there is no such agent.
            ApiError: CTO-1605, the cluster refuses it, with the field and the reason.
        """
        self._check_agent(wish.agent)
        name = f"{wish.agent[:40]}-{secrets.token_hex(4)}"
        made = {
            "apiVersion": API,
            "kind": KINDS[0],
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": wish.spec,
        }
        return Task(self._cluster.create(made))

    def all(self) -> Sequence[Task]:
        """Return all tasks, the oldest first.

        Raises:
            DegradedError: CTO-1901, there is no platform.
        """
        self._agents()
        found = [
            Task(manifest)
            for kind in KINDS
            for manifest in self._cluster.list(API, kind, namespace=self._namespace)
        ]
        return sorted(found, key=lambda task: (task.created, task.name))

    def find(self, name: str) -> Task:
        """Return a task by its name.

        Raises:
            UsageError: CTO-1200, there is none.
        """
        for kind in KINDS:
            if found := self._cluster.get(ObjectRef(API, kind, self._namespace, name)):
                return Task(found)
        known = [task.name for task in self.all()]
        close = nearest(name, known)
        hint = f"Did you mean {close}?" if close else "`cto task list` shows them."
        raise UsageError("CTO-1200", f"there is no task {name!r}", hint=hint)

    def cancel(self, name: str) -> Task:
        """Delete a task: its agent is stopped, and what belongs to it goes.

        Raises:
            UsageError: CTO-1200, there is none.
        """
        task = self.find(name)
        self._cluster.delete(task.ref, uid=task.uid)
        return task

    def logs(self, task: Task, lines: int) -> str:
        """Return the last lines of its newest pod; '' as long as there are none."""
        selected = f"{RUN}={task.uid}"
        pods = self._cluster.list("v1", "Pod", namespace=self._namespace, labels=selected)
        for pod in sorted(pods, key=attempt_of, reverse=True):
            for container in (CONTAINER, "clone"):
                name = pod["metadata"]["name"]
                if text := self._cluster.logs(self._namespace, name, container, lines=lines):
                    return text
        return ""

    def follow(self, task: Task) -> Iterator[Task]:
        """Yield a task every second, as it is then, until it has ended.

        Raises:
            UsageError: CTO-1200, somebody deleted it.
        """
        yield task
        while not task.has_ended:
            self._clock.wait(Flag(), _LOOK_S)
            task = self.find(task.name)
            yield task

    def _check_agent(self, name: str) -> None:
        agents = self._agents()
        if name in agents:
            return
        close = nearest(name, agents)
        known = ", ".join(agents) or "none"
        hint = f"Did you mean {close}?" if close else f"Switch it on: agents.{name}.enabled: true."
        text = f"--agent {name}: there is no such agent (there is: {known})"
        raise UsageError("CTO-1200", text, hint=hint)

    def _agents(self) -> Sequence[str]:
        """Return the agents that are switched on."""
        found = self._cluster.get(ObjectRef("v1", "ConfigMap", self._namespace, _AGENTS))
        if found is None:
            raise DegradedError("CTO-1901", "the Multi-Agent Controller is not installed")
        return sorted(found.get("data") or ())


def attempt_of(manifest: Manifest) -> int:
    """Return which attempt an object was made for; 0 if it does not say."""
    number = labels_of(manifest).get(ATTEMPT, "")
    return int(number) if number.isdecimal() else 0
