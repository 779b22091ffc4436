"""One attempt at a run, and the objects that it is made of. docs/agents.md tells agents of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult

from cto.engine.agentsettings import AgentSettings, Settings
from cto.engine.tasks import AGENT, ATTEMPT, RUN
from cto.errors import ConfigError
from cto.objects import Manifest, ObjectRef, load_documents
from cto.render import Renderer
from cto_controller.runs import EXPIRES, RESULT, Run, written

MANAGED_BY = {"app.kubernetes.io/managed-by": "cto-controller"}
# A restore leaves owners out: they would stay for ever. https://velero.io/docs/main/resource-filtering
_NOT_SAVED = {"velero.io/exclude-from-backup": "true"}
# What templates of prompts may ask for, and runs may leave out.
_OPTIONAL = (
    "contextVersion",
    "continueSession",
    "docsBranch",
    "docsProjectDirectory",
    "docsRepositoryUrl",
    "env",
    "prompt",
    "promptModification",
    "sourceBranch",
    "taskId",
    "workingDirectory",
)


@dataclass(frozen=True)
class Attempt:
    """One attempt at a run, by an agent."""

    run: Run
    number: int
    name: str
    agent: AgentSettings
    settings: Settings

    @property
    def app(self) -> str:
        """Its agent's GitHub App, also if the run names the agent."""
        return self.agent.github_app or self.run.app

    @property
    def cli(self) -> str:
        return self.run.cli or self.agent.cli

    @property
    def model(self) -> str:
        """The run's, and for further attempts the next ones of its rotation."""
        config = self.run.spec.get("cliConfig") or {}
        first = config.get("model") or self.run.spec.get("model") or self.agent.model
        models = [first, *(config.get("modelRotation") or ())]
        return str(models[(self.number - 1) % len(models)])

    @property
    def branch(self) -> str:
        """Where the agent's work goes: the same for every attempt at a task.

        Work that starts from a branch of the agent's own goes on there.
        """
        spec = self.run.spec
        source = str(spec.get("sourceBranch", ""))
        if source.startswith(f"agents/{self.name}/"):
            return source
        task = f"task-{spec['taskId']}" if "taskId" in spec else self.run.ref.name
        return f"agents/{self.name}/{task}"

    @property
    def _address(self) -> SplitResult:
        found = self.run.address
        assert found is not None  # noqa: S101 - without one, a run does not begin
        return found

    @property
    def slug(self) -> str:
        """OWNER/NAME at GitHub; '' if the repository is elsewhere."""
        parts = self._address
        slug = parts.path.strip("/").removesuffix(".git")
        # Hosts are the same in any case.
        is_there = parts.netloc.rpartition("@")[2].lower() == self.settings.github.host.lower()
        return slug if is_there and slug.count("/") == 1 else ""

    @property
    def token(self) -> ObjectRef:
        """The Secret with its token: one for all attempts."""
        job = self.run.job(0)
        return ObjectRef("v1", "Secret", job.namespace, f"{job.name}-token")

    def secret(self, token: str, expires: datetime) -> Manifest:
        """Return the Secret with a token."""
        metadata = {**self._metadata(self.token), "annotations": {EXPIRES: written(expires)}}
        data = {"type": "Opaque", "stringData": {"token": token}}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **data}

    def objects(self, folder: Path, renderer: Renderer) -> Sequence[Manifest]:
        """Return workspace, task and Job, by the templates in a folder.

        Raises:
            ConfigError: CTO-1311, a template is wrong, or names what there is not.
        """
        own = folder / f"{self.name}.md.j2"
        spec = {**dict.fromkeys(_OPTIONAL, ""), **self.run.spec}
        role = {"agent": self.name, "duty": self.agent.duty, "kind": self.run.ref.kind}
        names = {**role, "spec": spec, "attempt": self.number, "branch": self.branch}
        prompt = renderer.text(own if own.exists() else folder / "agent.md.j2", names)
        try:
            clone = (folder / "clone.sh").read_text(encoding="utf-8")
        except OSError as error:
            text = f"{folder / 'clone.sh'} cannot be read: {error.strerror}"
            raise ConfigError("CTO-1311", text) from None
        parts = {**names, **self._parts(), "prompt": prompt, "clone": clone}
        return tuple(load_documents(renderer.text(folder / "run.yaml.j2", parts)))

    def _parts(self) -> dict[str, Any]:
        told, spec = self.settings, self.run.spec
        task = {"kind": self.run.ref.kind, "spec": spec}
        account = spec.get("serviceAccountName") or told.agent.service_account_name
        return {
            "metadata": self._metadata(self.run.job(self.number)),
            "workspace": self.run.workspace,
            "settings": told,
            # A ConfigMap has room for a megabyte, and the prompt is in it twice: not as \uXXXX.
            "task": json.dumps(task, indent=2, sort_keys=True, ensure_ascii=False),
            "service_account": account,
            "image": told.image_of(self.agent, self.cli),
            "resources": self.agent.pod_resources,
            "cli": self.cli,
            "model": self.model,
            "slug": self.slug,
            "host": self._address._replace(path="").geturl(),
            "secrets": self._secrets(),
            "token": self.token.name if self.slug else "",
            "result": RESULT,
        }

    def _metadata(self, ref: ObjectRef) -> dict[str, Any]:
        """Return what an object of the run has: it goes when the run is deleted."""
        labels = {RUN: self.run.uid, AGENT: self.name, ATTEMPT: str(self.number), **_NOT_SAVED}
        run = self.run.ref
        owner = {"apiVersion": run.api_version, "kind": run.kind, "name": run.name}
        return {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": {**MANAGED_BY, "app.kubernetes.io/component": "agent", **labels},
            "ownerReferences": [{**owner, "uid": self.run.uid, "controller": True}],
        }

    def _secrets(self) -> list[dict[str, Any]]:
        """Return the key of its model's or CLI's provider, and what the run itself names."""
        rows = [
            (row["name"], row["secretName"], row["secretKey"])
            for row in self.run.spec.get("envFromSecrets") or ()
        ]
        keys = self.settings.secrets.provider_api_keys
        maker = self.model.partition("/")[0]
        provider = maker if maker in keys else self.settings.agent.cli_providers.get(self.cli, "")
        if key := keys.get(provider):
            rows.insert(0, (key.secret_key, key.secret_name, key.secret_key))
        return [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
            for name, secret, key in rows
        ]
