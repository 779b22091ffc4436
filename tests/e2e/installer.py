"""The product as its users start it: `docker run` of the image, with the socket or without."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .engine import Engine

SOCKET = "/var/run/docker.sock"
KUBE = "/root/.kube"
CLUSTER = "cto"
INSTALL_S = 900
_START_S = 60
_NUMBERS = itertools.count(1)


@dataclass
class Running:
    """An installer that was started."""

    engine: Engine
    name: str
    process: subprocess.Popen[str]

    def await_start(self) -> None:
        """Wait until there is something to kill: the client has to start the container first."""
        end = time.monotonic() + _START_S
        while not self.engine.pids(self.name) and self.process.poll() is None:
            assert time.monotonic() < end, f"{self.name} does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as `docker kill` does; nothing in it gets to say anything."""
        self.await_start()
        # Docker refuses while it is still at work on the start.
        while self.process.poll() is None:
            self.engine.run("kill", self.name, code=None)
            time.sleep(0.05)
        self.wait()

    def kill_process(self) -> None:
        """End its first process from outside of Docker, as the kernel does when memory is short."""
        self.await_start()
        for pid in self.engine.pids(self.name):
            subprocess.run(["/bin/kill", "-KILL", str(pid)], check=False)
        self.wait()

    def wait(self, timeout_s: float = INSTALL_S) -> subprocess.CompletedProcess[str]:
        out, err = self.process.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(self.name, self.process.returncode, out, err)


@dataclass
class Installer:
    """Runs an image against one daemon, with one folder as ~/.kube.

    Attributes:
        kube: The folder on the host that is mounted as ~/.kube.
        flags: More for `docker run`.
        mode: How it is mounted: rw or ro.
    """

    engine: Engine
    image: str
    kube: Path
    flags: Sequence[str] = ()
    mode: str = "rw"
    runs: list[subprocess.CompletedProcess[str]] = field(default_factory=list)

    @property
    def kubeconfig(self) -> Path:
        return self.kube / "config"

    def words(self, *arguments: str, name: str, socket: bool, flags: Sequence[str]) -> list[str]:
        mounts = [f"--volume={self.kube}:{KUBE}:{self.mode}"]
        if socket:
            mounts.append(f"--volume={self.engine.socket}:{SOCKET}")
        return [
            "run",
            "--rm",
            f"--name={name}",
            *mounts,
            *self.flags,
            *flags,
            self.image,
            *arguments,
        ]

    def start(self, *arguments: str, socket: bool = True, flags: Sequence[str] = ()) -> Running:
        name = f"cto-e2e-{next(_NUMBERS)}"
        words = self.words(*arguments, name=name, socket=socket, flags=flags)
        return Running(self.engine, name, self.engine.popen(*words))

    def run(
        self, *arguments: str, code: int = 0, socket: bool = True, flags: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and see it end with the expected code."""
        done = self.start(*arguments, socket=socket, flags=flags).wait()
        self.runs.append(done)
        shown = f"cto {' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
        assert done.returncode == code, shown
        return done

    def data(self, *arguments: str, code: int = 0, **settings: Any) -> dict[str, Any]:
        """Run a command with `--output json`; return what it says under `data`, and its error."""
        done = self.run(*arguments, "--output", "json", code=code, **settings)
        document: dict[str, Any] = json.loads(done.stdout)
        return {**document["data"], "error": document["error"]}

    def install(self, profile: str = "minimal", *arguments: str, **settings: Any) -> dict[str, Any]:
        return self.data("install", "--profile", profile, *arguments, **settings)

    def uninstall(self, *arguments: str, **settings: Any) -> dict[str, Any]:
        return self.data("uninstall", "--yes", *arguments, **settings)

    def kubectl(self, *arguments: str, cluster: str = CLUSTER, code: int | None = 0) -> str:
        """Ask the cluster itself, with the node's own kubectl and credentials."""
        admin = "--kubeconfig=/etc/kubernetes/admin.conf"
        node = f"{cluster}-control-plane"
        done = self.engine.run("exec", node, "kubectl", admin, *arguments, code=code)
        return done.stdout


def cluster_ranges(engine: Engine) -> list[str]:
    """Return the ranges of pods and services, as the API server's controllers have them."""
    file = "/etc/kubernetes/manifests/kube-controller-manager.yaml"
    manifest = engine.out("exec", f"{CLUSTER}-control-plane", "cat", file)
    ranges = re.findall(r"--(?:cluster-cidr|service-cluster-ip-range)=(\S+)", manifest)
    assert len(ranges) == 2, manifest
    return ranges
