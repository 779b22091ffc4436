"""An agent's pod on this machine: the controller's environment, real programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cto import assets
from cto.render import Renderer
from cto_controller.attempts import Attempt
from cto_controller.runs import AttemptResult
from fakes.repositories import make_origin
from fakes.runs import TEMPLATES, Runs

SOURCE = assets.root() / "bundle" / "images" / "agent"
TOKEN = "ghs_" + "t" * 36
# The folders that a pod has of its own.
MOUNTED = ("/workspace", "/task", "/home/agent", "/var/run/github", "/etc/trust")


def missing() -> str:
    """Say which programs of the image this machine lacks; empty if it has all."""
    lacking = [name for name in ("git", "jq", "curl") if not shutil.which(name)]
    return f"this machine has no {', '.join(lacking)}" if lacking else ""


def run_to_end(
    argv: Sequence[str], env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=env,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout_s,
    )


class AgentPod:
    """One run's pod, once for each attempt."""

    def __init__(
        self,
        folder: Path,
        *,
        cli: str,
        api_url: str = "https://api.github.com",
        host: str = "github.com",
        trusted: str = "",
        **spec: Any,
    ) -> None:
        self.folder = folder
        folder.mkdir()
        self.origin = make_origin(folder / "origin")
        self.clis = folder / "image" / "clis"
        self.program: tuple[str, ...] = (str(folder / "image" / "cto-agent"),)
        shutil.copytree(SOURCE, folder / "image")
        agents = {"rex": {"githubApp": "acme-rex", "image": "x:1", "cli": cli}}
        self._trusted = trusted
        trust = {"trustConfigMap": "authorities" if trusted else ""}
        github = {"host": host, "apiUrl": api_url}
        self._runs = Runs({"agents": agents, "agent": trust, "github": github})
        self.token = TOKEN
        self.run = self._runs.add("shop", **spec)

    def on_disk(self, path: str) -> Path:
        """Return where a path of the pod is on this machine."""
        return self.folder / path.lstrip("/")

    def add_cli(self, name: str, script: str) -> None:
        program = self.clis / name / "run"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
        program.chmod(0o755)

    def here(self, text: str) -> str:
        """Return a text with the pod's own folders below this one's."""
        return re.sub(f"({'|'.join(MOUNTED)})(?=/|$)", rf"{self.folder}\1", text)

    def environment(self, number: int = 1) -> dict[str, str]:
        """Make what the pod of an attempt mounts, and return what its container gets."""
        found = self._runs.settings.agent_of("acme-rex")
        assert found
        attempt = Attempt(self.run, number, *found, self._runs.settings)
        _, inputs, job = attempt.objects(TEMPLATES, Renderer({}, env={}))
        for path in MOUNTED:
            self.on_disk(path).mkdir(parents=True, exist_ok=True)
        (folder := self.folder / "task" / "input").mkdir(exist_ok=True)
        for name, text in inputs["data"].items():
            (folder / name).write_text(text)
        self.on_disk("/var/run/github/token").write_text(self.token)
        self.on_disk("/etc/trust/ca.crt").write_text(self._trusted)
        self.result_file.touch()
        self.pod_spec = job["spec"]["template"]["spec"]
        rows = self.pod_spec["containers"][0]["env"]
        told = {row["name"]: self.here(row["value"].replace("$$", "$")) for row in rows}
        return {"PATH": os.environ["PATH"], **told, "REPOSITORY_URL": self.origin.as_uri()}

    @property
    def prompt(self) -> str:
        return (self.folder / "task" / "input" / "prompt.md").read_text()

    @property
    def repository(self) -> Path:
        return self.folder / "workspace" / "repository"

    @property
    def result_file(self) -> Path:
        return self.folder / "task" / "result.json"

    @property
    def branch(self) -> str:
        return "agents/rex/shop"

    def start(
        self, argv: Sequence[str], env: Mapping[str, str], timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the pod to its end."""
        return run_to_end(argv, env, timeout_s)

    def clone(self, env: Mapping[str, str]) -> None:
        done = self.start(["/bin/sh", self.here("/task/input/clone.sh")], env)
        assert done.returncode == 0, done.stderr

    def attempt(
        self, number: int = 1, *, timeout_s: float = 60, **changes: str
    ) -> subprocess.CompletedProcess[str]:
        """Clone, then run the agent; return how that ended."""
        env = {**self.environment(number), **changes}
        self.clone(env)
        return self.start(self.program, env, timeout_s)

    def told(self) -> Mapping[str, Any]:
        read = json.loads(self.result_file.read_text())
        assert isinstance(read, dict)
        return read

    def result(self, done: subprocess.CompletedProcess[str]) -> AttemptResult:
        """Return what the controller makes of it."""
        condition = {"type": "Failed" if done.returncode else "Complete", "status": "True"}
        ended = {"exitCode": done.returncode, "message": self.result_file.read_text()}
        pod = {
            "metadata": {"name": "pod"},
            "status": {"containerStatuses": [{"name": "agent", "state": {"terminated": ended}}]},
        }
        return AttemptResult.of({"metadata": {}, "status": {"conditions": [condition]}}, [pod])
