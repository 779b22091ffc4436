"""What the installer needs from outside. `cto.adapters` implements it, `tests/fakes` fakes it.

The same contract tests (tests/contract) run against both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from threading import Event as Flag
from typing import Any, Protocol

from cto.objects import Manifest
from cto.ports.cluster import ApiKind, Cluster, WatchEvent, WatchType
from cto.relocation import Relocation
from cto.result import Check

__all__ = [
    "INGRESS_NODE_PORT",
    "Access",
    "ApiKind",
    "Chart",
    "Clock",
    "Cluster",
    "Completed",
    "ImageSupply",
    "NodeOptions",
    "Provider",
    "ProviderState",
    "Reach",
    "ReleaseSpec",
    "Releases",
    "Runner",
    "WatchEvent",
    "WatchType",
]


class Clock(Protocol):
    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        ...

    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        ...

    def wait(self, flag: Flag, timeout_s: float) -> bool:
        """Return True as soon as the flag is set, False after the timeout."""
        ...


@dataclass(frozen=True)
class Completed:
    """A program that ended. Output is decoded, invalid bytes are replaced."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float


class Runner(Protocol):
    """Starts programs. Children die with the installer, and with `stop`."""

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str | None] | None = None,
        stdin: str | None = None,
        cwd: Path | None = None,
        check: bool = True,
        on_line: Callable[[str], None] | None = None,
        cancel: Flag | None = None,
    ) -> Completed:
        """Run a program and wait for its end.

        Args:
            argv: Program and arguments, never a secret among them.
            timeout_s: After it the program and its children are killed.
            env: Changes to the environment; None removes a variable.
            stdin: Text for the program; none means an empty input.
            cwd: Working directory.
            check: Raise if the return code is not 0.
            on_line: Called with each line that the program writes to stderr, as it comes.
            cancel: As soon as it is set, the program and its children are killed.

        Raises:
            ToolError: CTO-1500 if it fails (with `check`), CTO-1501 if there is no such program.
            WaitError: CTO-1700 if the timeout is over.
            Cancelled: `stop` was called, or `cancel` was set.
        """
        ...

    def interrupt(self) -> None:
        """Kill the children that run now; their `run` raises Cancelled, later ones work."""
        ...

    def stop(self, *, at_once: bool = False) -> None:
        """End all children; running and later calls of `run` raise Cancelled.

        They get a moment to end by themselves, unless they must go `at_once`.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart as a file.

    Attributes:
        digest: The sha256 of the archive (hex).
        app_version: Of the program in it, as the chart says; '' if it says none.
    """

    name: str
    version: str
    path: Path
    digest: str
    app_version: str = ""


@dataclass(frozen=True, kw_only=True)
class ReleaseSpec:
    """A Helm release as it should be.

    Attributes:
        labels: Of the release's record; `cto.dev/digest` is among them.
        skip_crds: Do not install what lies in the chart's crds/ folder.
        relocation: What everything that the chart renders goes through, hooks included.
        component: Whose release it is, for messages.
    """

    name: str
    namespace: str
    chart: Chart
    values: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)
    skip_crds: bool = True
    relocation: Relocation | None = None
    component: str = ""


class Releases(Protocol):
    """Helm. All methods raise what Runner.run raises."""

    def template(
        self,
        spec: ReleaseSpec,
        *,
        kube_version: str,
        api_versions: Sequence[str] = (),
        crds: bool = False,
    ) -> Sequence[Manifest]:
        """Render without a cluster; hooks are included, tests are not."""
        ...

    def upgrade(
        self, spec: ReleaseSpec, *, timeout_s: float, cancel: Flag | None = None
    ) -> Sequence[Manifest]:
        """Install or upgrade; returns when hooks are done. Returns what the release has.

        Its hooks come with it: they have the annotation `helm.sh/hook`.
        """
        ...

    def manifest(self, name: str, namespace: str, *, revision: int = 0) -> Sequence[Manifest]:
        """Return the objects of a revision, without hooks; () if there is no such one.

        0 is the newest.
        """
        ...

    def hooks(self, name: str, namespace: str) -> Sequence[Manifest]:
        """Return the hooks of the newest release; () if there is no such release."""
        ...

    def status(self, name: str, namespace: str) -> str:
        """Return the status in the newest record itself, '' if there is none.

        The record's label may say otherwise: a Helm that is interrupted writes `failed` while the
        goroutine that it gave up goes on, and takes payload and label one after the other.
        https://github.com/helm/helm/issues/13637
        """
        ...

    def chart(self, name: str, namespace: str) -> tuple[str, str, str]:
        """Return name, version and app version of the newest record's chart; '' if not known."""
        ...

    def rollback(self, name: str, namespace: str, revision: int, *, timeout_s: float) -> None: ...

    def uninstall(self, name: str, namespace: str, *, timeout_s: float, wait: bool) -> None:
        """Uninstall; a release that does not exist is no error."""
        ...


class ProviderState(StrEnum):
    ABSENT = "absent"
    PARTIAL = "partial"
    STOPPED = "stopped"
    READY = "ready"


@dataclass(frozen=True)
class Access:
    """How to reach a cluster: a kubeconfig file and a context in it."""

    kubeconfig: Path
    context: str


# Where a local cluster takes what goes to an ingress of the user's own, for https.
INGRESS_NODE_PORT = 31443


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How the user reaches a cluster: from their own machine, not from a container of ours.

    Attributes:
        kubeconfig: The file to name; None if kubectl finds the context by itself.
        found_in: The file in which kubectl finds it then, by the name that it has for us.
        is_there: Whether such a file is there already; else a note says how to get `kubeconfig`.
        notes: What the user has to know or to do about it, one line each.
        ports: Port of every node -> port of http://localhost where it is published.
        node_ports: Whether the user interfaces are at ports of the nodes; where they are not, those
            of localhost are taken all the same.
        domain: With an ingress, what the names of the user interfaces end with; '' without.
    """

    context: str
    kubeconfig: Path | None = None
    found_in: Path | None = None
    is_there: bool = True
    notes: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    node_ports: bool = True
    domain: str = ""


@dataclass(frozen=True, kw_only=True)
class NodeOptions:
    """What a provider needs to know to make a cluster."""

    nodes: int
    profile: str
    cpu: int
    memory_gib: int
    disk_gib: int = 0


class Provider(Protocol):
    """Where the cluster comes from."""

    @property
    def name(self) -> str: ...

    @property
    def simulated(self) -> bool: ...

    @property
    def creates(self) -> bool:
        """Whether `provision` makes a cluster and `destroy` may take it away."""
        ...

    @property
    def resizes(self) -> bool:
        """Whether `provision` adds nodes to a cluster that has fewer than wanted."""
        ...

    def validate(self) -> Sequence[Check]:
        """Return all preflight checks that come before the plan.

        Of a cluster that is there: that it answers. Of one to be made: everything that this takes.
        """
        ...

    def state(self) -> ProviderState: ...

    def kept_nodes(self) -> int:
        """Return how many nodes a cluster of ours keeps; 0 if it is not there yet, or may grow."""
        ...

    def kube_version(self) -> str:
        """Return the version that the cluster has or will have, e.g. `v1.34.4`."""
        ...

    def provision(self, options: NodeOptions, progress: Callable[[str], None]) -> Access:
        """Make the cluster if it is not there, repair a half-made one; idempotent."""
        ...

    def access(self) -> Access:
        """Return how to reach a cluster that is ready."""
        ...

    def reach(self) -> Reach:
        """Return how the user reaches a cluster that is ready."""
        ...

    def published(self) -> Mapping[int, int]:
        """Return port of every node -> port of localhost; {} where nobody knows of any.

        Of a cluster that is still to be made: those that it would get now.
        """
        ...

    def label(self, cluster: Cluster, profile: str) -> None:
        """Let nodes of ours say which profile they carry, once they do; idempotent."""
        ...

    def destroy(self) -> bool:
        """Remove the cluster and every trace; False if there was nothing."""
        ...

    def leftovers(self) -> Sequence[str]:
        """Return what `destroy` had to leave: a line each, with the reason and what to do."""
        ...


class ImageSupply(Protocol):
    """Where the images of a cluster in Docker come from: a bundle's registry, or upstream.

    All methods are idempotent and may be called again after a run was killed anywhere. They raise
    what the Docker adapter raises.
    """

    def check(self) -> None:
        """See that images can be had from it, before a cluster is made; it changes nothing."""
        ...

    def node_image(self, progress: Callable[[str], None]) -> str:
        """Return a reference to the node image, which the daemon then has."""
        ...

    def join(self, cluster: str, network: str, nodes: Sequence[str]) -> None:
        """Let the nodes (names of running containers) pull from it; return when it answers.

        Nodes take some seconds until they take pods: what it needs to begin, it does in these.

        Called after the cluster was made, and again on every run: nodes come back after a restart
        of Docker.
        """
        ...

    def leave(self, cluster: str) -> None:
        """Called when the cluster's nodes are gone: end what no other cluster uses."""
        ...

    def leftovers(self) -> Sequence[str]:
        """Return what `leave` had to leave: a line each, with the reason and what to do."""
        ...
