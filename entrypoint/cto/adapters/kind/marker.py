"""The container that says which kind cluster is ours, and that keeps a second installer out.

It never runs. Its name is fixed, so Docker lets only one be made; it exists from before the first
node until after the last, so whatever nodes there are without it are somebody else's. While the
cluster is being made the name ends in `.making`; a rename, which Docker does in one step, says
that it came up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from cto.adapters.docker import ContainerSpec, DockerContainer, Engine, KnownContainers
from cto.adapters.host import Host
from cto.errors import LockedError, ToolError
from cto.holder import Holder

# kind's own: pkg/cluster/internal/providers/docker/constants.go
NODE_LABEL = "io.x-k8s.kind.cluster"
NODE_ROLE_LABEL = "io.x-k8s.kind.role"
ROLE = "cto.dev/role"
CLUSTER = "cto.dev/cluster"
MARKER = "kind-cluster"
_HOLDER = "cto.dev/holder"
_NODES = "cto.dev/nodes"
_NETWORK = "cto.dev/network"
# No name of a cluster has a dot in it, so `NAME.making` is nobody's name.
_MAKING = ".making"


class Stage(StrEnum):
    NONE = "none"
    MAKING = "making"
    MADE = "made"


@dataclass(frozen=True, kw_only=True)
class Found:
    """The marker as it was found."""

    stage: Stage
    container: DockerContainer | None = None

    @property
    def nodes(self) -> int:
        """How many nodes the cluster was made with; 0 if that is not known."""
        text = self.container.labels.get(_NODES, "") if self.container else ""
        return int(text) if text.isdecimal() else 0

    @property
    def made_network(self) -> bool:
        """Whether the network was not there before this cluster."""
        return bool(self.container and self.container.labels.get(_NETWORK))


class Marker:
    """The marker of one cluster.

    Args:
        host: This machine, or the container that we run in.
        cluster: Its name.
    """

    def __init__(self, engine: Engine, host: Host, cluster: str) -> None:
        self._engine = engine
        self._containers = KnownContainers(engine)
        self._host = host
        self._cluster = cluster
        self.name = f"cto-kind-{cluster}"

    def find(self) -> Found:
        """Return the marker; MAKING comes first, should there ever be both.

        Raises:
            ToolError: CTO-1522, a container that is not ours has its name.
        """
        container = self._engine.first(self.name + _MAKING, self.name)
        if container is None:
            return Found(stage=Stage.NONE)
        if container.labels.get(ROLE) != MARKER:
            text = f"the container {container.name} is not cto's, and has the name of its marker"
            raise ToolError("CTO-1522", text)
        stage = Stage.MADE if container.name == self.name else Stage.MAKING
        return Found(stage=stage, container=container)

    def take(self, image: str, *, nodes: int, makes_network: bool) -> None:
        """Make the marker: from here on the cluster is ours to make.

        Raises:
            LockedError: CTO-2000, another installer was quicker.
        """
        labels = {
            ROLE: MARKER,
            CLUSTER: self._cluster,
            _NODES: str(nodes),
            _HOLDER: str(Holder.here(self._host, self._containers)),
            **({_NETWORK: "made"} if makes_network else {}),
        }
        spec = ContainerSpec(
            name=self.name + _MAKING,
            image=image,
            labels=labels,
            entrypoint="true",
            restart="no",
        )
        try:
            self._engine.create(spec)
        except ToolError as error:
            if error.name_is_taken and (found := self.find()).container:
                raise self.locked(found) from error
            raise

    def any_made_network(self) -> bool:
        """Whether the network came with another cluster of ours that is there."""
        return bool(self._engine.containers(**{ROLE: MARKER, _NETWORK: "made"}))

    def finish(self) -> None:
        """Say that the cluster came up."""
        self._engine.rename(self.name + _MAKING, self.name)

    def begin_removal(self, found: Found) -> None:
        """Say that the cluster is not whole any more, before its first node goes."""
        if found.stage is Stage.MADE and found.container:
            self._engine.rename(found.container.id, self.name + _MAKING)

    def release(self, found: Found) -> None:
        """Remove this very marker, never one that was made meanwhile."""
        if found.container:
            self._engine.remove(found.container.id)

    def lives(self, found: Found) -> bool | None:
        """Whether whoever makes the cluster is still at it; None if it cannot be known."""
        holder = self._holder(found)
        # A Docker on another machine is refused, so whoever lives shares our kernel, and its boot.
        if holder.boot and self._host.boot_id and holder.boot != self._host.boot_id:
            return False
        # The marker is in the very Docker that runs the container, whatever its id is by now.
        holder = replace(holder, daemon=self._containers.daemon)
        return holder.lives(self._host, self._containers)

    def locked(self, found: Found) -> LockedError:
        """Return the error that names who makes the cluster, and what to do if nobody does."""
        holder = self._holder(found)
        look = f" To see that it is alive: {holder.look}." if holder.look else ""
        return LockedError(
            "CTO-2000",
            f"{holder.described} makes the cluster {self._cluster}",
            hint=f"Wait for it.{look} If it is not alive: "
            f"docker rm -f $(docker ps -aq --filter label={NODE_LABEL}={self._cluster}) "
            f"{self.name}{_MAKING}",
        )

    def _holder(self, found: Found) -> Holder:
        labels: Mapping[str, str] = found.container.labels if found.container else {}
        return Holder.parse(labels.get(_HOLDER, ""))
