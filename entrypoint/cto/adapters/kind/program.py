"""The kind program. It finds docker on PATH, so it has to see the same one as we do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from cto.adapters.kind.access import NETWORK
from cto.adapters.kind.config import Shape, configuration, without_proxy
from cto.errors import CtoError, ToolError, WaitError
from cto.objects import dump_yaml
from cto.ports import Runner
from cto.storage import writing

# Measured: 20 s on two cores, 27 s with three nodes. A slow disk takes minutes.
_CREATE_S = 900.0
_READ_S = 60.0
# Settings of the user's own kind clusters: this one has its own.
_IGNORED = ("KIND_CLUSTER_NAME", "KIND_EXPERIMENTAL_DOCKER_NETWORK", "KIND_EXPERIMENTAL_PROVIDER")
# What kind shows is meant for terminals: ` • Preparing nodes 📦  ...`
_STEP = re.compile(r"^\s*•\s*(?P<title>[ -~]+)")
_FULL = re.compile(r"(?i)no space left on device")
_PORT = re.compile(r"(?i)port is already allocated|address already in use")
_POOL = re.compile(r"(?i)could not find an available.{0,40}address pool|pools? (have )?overlap")
# Nodes ask our registries as NAME.NETWORK (adapters.kind.mirrors), and without a proxy.
_INSIDE = f".{NETWORK}"


class KindProgram:
    """kind, for one cluster.

    Args:
        runner: Starts it.
        program: Returns the program; asked only when it is run.
        docker: Returns the docker program.
        environ: The installer's environment.
        folder: For files that nobody needs afterwards.
        injected: Returns the proxies that docker itself puts into containers.
    """

    def __init__(
        self,
        runner: Runner,
        program: Callable[[], Path],
        docker: Callable[[], str],
        *,
        cluster: str,
        environ: Mapping[str, str],
        folder: Path,
        injected: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._runner = runner
        self._program = program
        self._docker = docker
        self._cluster = cluster
        self._environ = environ
        self._folder = folder
        self._injected = injected

    def create(self, shape: Shape, image: str, progress: Callable[[str], None]) -> None:
        """Make the cluster.

        Raises:
            ToolError: CTO-1504, with kind's last lines; CTO-1523, the disk is full.
        """
        with writing(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # kind wants to write a kubeconfig; without this it would be the user's.
        written = self._folder / "kind-wrote"
        node = f"{shape.cluster}-control-plane"
        hosts = (shape.ranges.pods, shape.ranges.services, node, _INSIDE)
        arguments = ("create", "cluster", "--name", self._cluster, "--image", image)
        try:
            self._runner.run(
                (str(self._program()), *arguments, "--config", "-", "--kubeconfig", str(written)),
                timeout_s=_CREATE_S,
                env={**self._env(), **without_proxy(self._environ, hosts, self._injected())},
                stdin=dump_yaml(configuration(shape)),
                on_line=lambda line: _tell(line, progress),
            )
        except (ToolError, WaitError) as error:
            raise self._failed(error) from error
        finally:
            written.unlink(missing_ok=True)

    def kubeconfig(self) -> str:
        """Return a kubeconfig with the address that Docker publishes."""
        argv = (str(self._program()), "get", "kubeconfig", "--name", self._cluster)
        return self._runner.run(argv, timeout_s=_READ_S, env=self._env()).stdout

    def _env(self) -> dict[str, str | None]:
        docker = self._docker()
        path = self._environ.get("PATH", os.defpath)
        folders = [str(Path(docker).parent)] if "/" in docker else []
        none: dict[str, str | None] = dict.fromkeys(_IGNORED)
        return {**none, "PATH": os.pathsep.join([*folders, path])}

    def _failed(self, error: CtoError) -> ToolError:
        details = error.details
        message = f"kind could not make the cluster {self._cluster}: {error.message}"
        if _FULL.search(details):
            return ToolError("CTO-1523", f"{message}: Docker's disk is full", details=details)
        hint = ""
        if _PORT.search(details):
            hint = "Another program took a port meanwhile. The same command again takes others."
        elif _POOL.search(details):
            hint = "Docker has no address range left: `docker network prune` frees some."
        return ToolError("CTO-1504", message, details=details, hint=hint)


def _tell(line: str, progress: Callable[[str], None]) -> None:
    if found := _STEP.match(line):
        progress(found["title"].strip().rstrip(".").strip())
