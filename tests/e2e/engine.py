"""Docker as the tests use it: the command line, against one daemon."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COMMAND_S = 300


@dataclass(frozen=True)
class Engine:
    """One daemon.

    Attributes:
        program: The docker client.
        socket: Where the daemon listens.
        namespace: The network namespace that it publishes ports in.
    """

    program: str
    socket: Path
    namespace: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CTO_"))}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}"}

    def argv(self, *words: str) -> list[str]:
        return [self.program, *words]

    def run(
        self, *words: str, code: int | None = 0, stdin: str = "", timeout_s: float = _COMMAND_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a docker command and see it end with the expected code; None is any."""
        done = subprocess.run(
            self.argv(*words),
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        shown = f"docker {' '.join(words)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert code is None or done.returncode == code, shown
        return done

    def out(self, *words: str, **settings: Any) -> str:
        return self.run(*words, **settings).stdout.strip()

    def popen(self, *words: str, **settings: Any) -> subprocess.Popen[str]:
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        argv = self.argv(*words)
        return subprocess.Popen(argv, env=self.env, stdin=subprocess.DEVNULL, text=True, **settings)

    def answers(self) -> bool:
        return self.run("version", code=None, timeout_s=20).returncode == 0

    def containers(self, *filters: str) -> list[str]:
        flags = [f"--filter={one}" for one in filters]
        return sorted(self.out("ps", "--all", "--format", "{{.Names}}", *flags).split())

    def inspect(self, kind: str, *names: str) -> Sequence[Mapping[str, Any]]:
        """Return what is there of what is named; something may vanish meanwhile."""
        if not names:
            return []
        found: list[Mapping[str, Any]] = json.loads(self.out(kind, "inspect", *names, code=None))
        return found

    def container(self, name: str) -> Mapping[str, Any] | None:
        return next(iter(self.inspect("container", name)), None)

    def pids(self, *names: str) -> list[int]:
        pids = (one["State"]["Pid"] for one in self.inspect("container", *names))
        return [pid for pid in pids if pid]

    def processes(self) -> Iterator[tuple[str, int]]:
        """Yield name and first process of every container that runs."""
        running = self.run("ps", "--quiet", code=None).stdout.split()
        for one in self.inspect("container", *running):
            if pid := one["State"]["Pid"]:
                yield one["Name"].removeprefix("/"), pid

    def events(self, kind: str) -> subprocess.Popen[str]:
        """Follow events of containers: their names, a line each."""
        which = ["--filter", "type=container", "--filter", f"event={kind}"]
        shown = ["--format", "{{.Actor.Attributes.name}}"]
        return self.popen("events", *which, *shown, stderr=subprocess.DEVNULL)

    def networks(self) -> Mapping[str, tuple[str, ...]]:
        """Return every network with its address ranges."""
        names = self.out("network", "ls", "--quiet").split()
        return {
            one["Name"]: tuple(
                config["Subnet"] for config in one["IPAM"]["Config"] or () if "Subnet" in config
            )
            for one in self.inspect("network", *names)
        }
