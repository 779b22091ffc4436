"""What the demo's cluster is made of: containers where that is possible, else simulated nodes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab import containers, hosts, image, prepare
from lab.dockerd import engine
from lab.hosts import Sources
from lab.preparation import Task
from lab.prepare import VENV
from lab.tools import build

CTO = VENV / "bin" / "cto"

# A name of its own: `make demo-clean` must not take a cluster away that somebody works with.
CLUSTER = "cto-demo"

# What a kwok cluster with the minimal profile takes, apiserver and etcd above all.
MEMORY_MIB = 1500

INSTALL_S = {"kwok": 30, "kind": 180}
IMAGE_S, IMAGE_MIB = 60, 900


class DemoCluster(Protocol):
    """What a cluster is made of.

    Attributes:
        provider: The name that cto has for it.
        why: The reason to take it, for the demo's first line.
        context: The kubeconfig's entry.
        nodes: What they are, in a few words.
    """

    @property
    def provider(self) -> str: ...
    @property
    def why(self) -> str: ...
    @property
    def context(self) -> str: ...
    @property
    def nodes(self) -> str: ...
    @property
    def kubeconfig(self) -> Path: ...
    @property
    def takes_stand_ins(self) -> bool:
        """Whether charts and images are the lab's, wherever the real ones may be had."""
        ...

    def lacking(self) -> list[str]: ...
    def tasks(self, profile: str) -> list[Task]: ...
    def install(self, profile: str) -> list[str]: ...
    def variables(self) -> Mapping[str, str | Path]:
        """Return what cto, kubectl and helm need to know to find the cluster."""
        ...


@dataclass(frozen=True)
class Docker:
    """What there is of Docker.

    Attributes:
        version: Of the daemon; empty if none answers.
        socket: On this machine; empty if the daemon is reached by another way.
        keeps_layouts: Whether it has the containerd image store.
        lacking: Lists what this machine lacks for a node image of the lab's.
    """

    version: str = ""
    socket: str = ""
    keeps_layouts: bool = False
    lacking: Callable[[], Sequence[str]] = tuple


def look() -> Docker:
    version = engine.version()
    if not version:
        return Docker()
    return Docker(version, engine.socket(), engine.keeps_layouts(), containers.lacking)


def choose(sources: Sources, docker: Docker, wish: str) -> DemoCluster:
    """Take containers where Docker answers and nodes can be had, else simulated nodes.

    Args:
        sources: What can be had from where its makers have it.
        docker: What there is of it.
        wish: `kind` or `kwok`, where somebody does not want to leave it to us.
    """
    obstacle = f"PROVIDER={wish}" if wish == "kwok" else without_containers(sources, docker)
    if obstacle and wish != "kind":
        return Simulated(sources, obstacle)
    answers = f"Docker {docker.version} answers"
    if sources.images:
        return Contained(sources, f"{answers}, and so do the registries of all images")
    if obstacle:
        return Imaged(f"PROVIDER=kind, though {obstacle}")
    return Imaged(f"{answers}; no registry of images does, the lab has or makes a node image")


def without_containers(sources: Sources, docker: Docker) -> str:
    """Say why there can be no cluster of containers here; empty if there can be one."""
    if not docker.version:
        return "no Docker daemon answers"
    if sources.images:
        return ""
    alone = "no registry of images answers, and for a node image of its own the lab lacks"
    if not docker.socket:
        return f"{alone} a Docker socket on this machine"
    if not docker.keeps_layouts:
        return f"{alone} a Docker with the containerd image store"
    missing = docker.lacking()
    return f"{alone} {', '.join(missing)}" if missing else ""


def host_options(sources: Sources) -> dict[str, tuple[str, Path]]:
    """Map what is out of reach to the option that names a folder instead, and the folder."""
    folders = {
        "CTO_TOOLS": ("--tools", prepare.tools_dir(), sources.tools),
        "CTO_CHARTS": ("--charts", prepare.charts_dir(), sources.charts),
    }
    return {name: (option, path) for name, (option, path, there) in folders.items() if not there}


def from_checkout(sources: Sources) -> list[str]:
    return [str(word) for pair in host_options(sources).values() for word in pair]


# --- simulated nodes -----------------------------------------------------------------------------


def downloads() -> Task:
    return Task("the programs, by digest", 120, 1000, 560, lambda: None)


@dataclass(frozen=True)
class Simulated:
    """An API server with simulated nodes; runs everywhere."""

    sources: Sources
    why: str
    provider: str = "kwok"
    context: str = "kwok-cto"
    nodes: str = "a real API server, simulated nodes"
    takes_stand_ins: bool = False

    @property
    def kubeconfig(self) -> Path:
        return simulated_folder() / "kubeconfig"

    def lacking(self) -> list[str]:
        return [*lacking_memory(), *lacking_tools(self.sources)]

    def tasks(self, profile: str) -> list[Task]:
        return host_tasks(self.sources)

    def install(self, profile: str) -> list[str]:
        return [*cto("install", self.provider), "--profile", profile, *from_checkout(self.sources)]

    def variables(self) -> Mapping[str, str | Path]:
        folders = {name: path for name, (_, path) in host_options(self.sources).items()}
        # Where Docker answers, cto would make a kind cluster unless it is told of another one.
        return {**folders, "CTO_CLUSTER__PROVIDER": self.provider, "KUBECONFIG": self.kubeconfig}


def simulated_folder() -> Path:
    """Where cto keeps its kwok cluster (docs: CTO_STATE_DIR, XDG_STATE_HOME)."""
    base = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state") / "cto"
    return Path(os.environ.get("CTO_STATE_DIR") or base).expanduser().resolve() / "kwok" / "cto"


def lacking_memory() -> list[str]:
    free = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if free and int(free[1]) < MEMORY_MIB * 1024:
        return [f"{MEMORY_MIB} MiB of free memory; {int(free[1]) // 1024} MiB are free"]
    return []


def lacking_tools(sources: Sources) -> list[str]:
    if sources.tools:
        return []
    return build.lacking(build.tools_missing(prepare.tools_dir()), prepare.tools_dir())


def host_tasks(sources: Sources) -> list[Task]:
    tools = prepare.tools_task()
    if sources.tools:
        tools = downloads() if hosts.tool_urls() else None
    charts = Task("stand-in charts", 1, 0, 1, prepare.make_charts)
    found = [prepare.venv_task(), tools, None if sources.charts else charts]
    return [task for task in found if task]


def cto(verb: str, provider: str) -> list[str]:
    return [str(CTO), verb, "--provider", provider, "--non-interactive"]


# --- containers ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contained:
    """A kind cluster whose nodes and images come from where their makers have them."""

    sources: Sources
    why: str
    provider: str = "kind"
    context: str = f"kind-{CLUSTER}"
    nodes: str = "real nodes, in containers"
    takes_stand_ins: bool = False

    @property
    def kubeconfig(self) -> Path:
        return Path(os.environ.get("KUBECONFIG") or shared_kubeconfig())

    def lacking(self) -> list[str]:
        return lacking_tools(self.sources)

    def tasks(self, profile: str) -> list[Task]:
        return host_tasks(self.sources)

    def install(self, profile: str) -> list[str]:
        argv = [*cto("install", self.provider), "--cluster-name", CLUSTER, "--profile", profile]
        return [*argv, *from_checkout(self.sources)]

    def variables(self) -> Mapping[str, str | Path]:
        folders = {name: path for name, (_, path) in host_options(self.sources).items()}
        return {**folders, "CTO_CLUSTER__NAME": CLUSTER}


@dataclass(frozen=True)
class Imaged:
    """A kind cluster made by the product's image, which has everything in it: its own shape."""

    why: str
    provider: str = "kind"
    context: str = f"kind-{CLUSTER}"
    nodes: str = "real nodes, in containers"
    takes_stand_ins: bool = True

    @property
    def kubeconfig(self) -> Path:
        return shared_kubeconfig()

    def lacking(self) -> list[str]:
        return prepare.lacking_of("docker")

    def tasks(self, profile: str) -> list[Task]:
        made = Task(
            what=f"cto's image, {image.reference(profile)}",
            seconds=IMAGE_S,
            peak_mib=IMAGE_MIB,
            kept_mib=IMAGE_MIB,
            run=lambda: make_image(profile),
        )
        return [*prepare.tasks_of("docker", profile), made]

    def install(self, profile: str) -> list[str]:
        return in_container(image.reference(profile), "install", "--profile", profile)

    def variables(self) -> Mapping[str, str | Path]:
        return {
            "CTO_TOOLS": prepare.tools_dir(),
            "CTO_CLUSTER__NAME": CLUSTER,
            "KUBECONFIG": self.kubeconfig,
        }


def make_image(profile: str) -> None:
    containers.gather_programs()
    if image.make(profile, "image"):
        text = "cto's image was not made; the lines above say why"
        raise build.BuildError(text)


def in_container(reference: str, verb: str, *arguments: str) -> list[str]:
    """Return the command of the README, with what a demo adds to it."""
    kube = shared_kubeconfig().parent
    # Docker would make it for root.
    kube.mkdir(mode=0o750, parents=True, exist_ok=True)
    # With a terminal of its own it hears Ctrl-C from there, without one Docker passes it on.
    terminal = ["--interactive", "--tty"] if sys.stdin.isatty() and sys.stderr.isatty() else []
    run = ["run", "--rm", *terminal, "--env", f"CTO_HOST_UID={os.getuid()}"]
    run += ["-v", f"{kube}:/root/.kube", "-v", f"{engine.socket()}:/var/run/docker.sock"]
    words = [verb, "--cluster-name", CLUSTER, "--non-interactive", *arguments]
    return [engine.client() or "docker", *run, reference, *words]


def shared_kubeconfig() -> Path:
    return Path("~/.kube/config").expanduser()
