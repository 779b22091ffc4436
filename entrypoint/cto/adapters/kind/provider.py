"""Provider `kind`: a real cluster whose nodes are containers (https://kind.sigs.k8s.io).

kind is called as a process. A marker container (adapters.kind.marker) says which cluster is ours,
and whether it ever came up: what did not is removed and made again, what did is never removed
unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import cached_property, partial
from threading import Event as Flag

from cto.adapters.docker import DockerContainer, DockerHost, Engine, sweep, tries
from cto.adapters.kind import certificates, checks
from cto.adapters.kind import nodes as kind_nodes
from cto.adapters.kind.access import NETWORK, KindAccess, published
from cto.adapters.kind.config import Ranges, Shape, needs_old_cgroups, placed, ranges
from cto.adapters.kind.marker import NODE_LABEL, NODE_ROLE_LABEL, ROLE, Found, Marker, Stage
from cto.adapters.kind.program import KindProgram
from cto.adapters.kind.registries import REGISTRY
from cto.errors import CtoError, LockedError, PreflightError, ToolError
from cto.ports import Access, Clock, Cluster, ImageSupply, NodeOptions, ProviderState, Reach
from cto.result import Check, CheckStatus, Topic

_SETTLE_S = 10.0
_LOOK_S = 0.1


class Kind:
    """Makes, repairs, starts and removes one kind cluster.

    Args:
        engine: Docker.
        docker_host: The machine that Docker runs on.
        program: kind itself.
        supply: Where images come from.
        access: Kubeconfig files.
        marker: The lock, and the proof that the cluster is ours.
        connect: Opens the API.
        options: Returns the wanted size; for checks before anything is made.
        ports: Port of every node -> wanted port of the host.
        kube_version: Of the nodes of a new cluster.
        cluster: The cluster's name.
    """

    name: str = "kind"
    simulated: bool = False
    creates: bool = True
    resizes: bool = False

    def __init__(
        self,
        *,
        engine: Engine,
        docker_host: DockerHost,
        program: KindProgram,
        supply: ImageSupply,
        access: KindAccess,
        marker: Marker,
        clock: Clock,
        connect: Callable[[Access], Cluster],
        options: Callable[[], NodeOptions],
        ports: Mapping[int, int],
        kube_version: Callable[[], str],
        cluster: str = "cto",
    ) -> None:
        self._engine = engine
        self._docker_host = docker_host
        self._program = program
        self._supply = supply
        self._access = access
        self._marker = marker
        self._clock = clock
        self._connect = connect
        self._options = options
        self._wanted_ports = ports
        self._kube_version = kube_version
        self._cluster = cluster

    # ports.Provider

    def validate(self) -> Sequence[Check]:
        try:
            daemon, location = self._docker_host.daemon, self._docker_host.location
            found = [checks.docker_check(daemon), checks.place_check(location, daemon)]
            if all(check.status is not CheckStatus.FAILED for check in found):
                found += self._measured()
        except LockedError:
            raise
        except CtoError as error:
            return (Topic("docker", "Docker").raised(error),)
        if any(check.status is CheckStatus.FAILED for check in found):
            self._settle()
        return tuple(found)

    def state(self) -> ProviderState:
        return self._state(*self._look())

    def _state(self, found: Found, nodes: Sequence[DockerContainer]) -> ProviderState:
        if found.stage is Stage.NONE and nodes:
            raise self._foreign(nodes)
        if found.stage is Stage.NONE:
            return ProviderState.ABSENT
        if found.stage is Stage.MAKING or not nodes:
            return ProviderState.PARTIAL
        self._control_plane(nodes)
        running = all(node.running for node in nodes)
        return ProviderState.READY if running else ProviderState.STOPPED

    def kept_nodes(self) -> int:
        found, nodes = self._look()
        return len(nodes) if found.stage is Stage.MADE else 0

    def kube_version(self) -> str:
        if self.state() is ProviderState.READY:
            with closing(self._connect(self.access())) as cluster:
                return cluster.server_version()
        return self._kube_version()

    def provision(self, options: NodeOptions, progress: Callable[[str], None]) -> Access:
        found, nodes = self._look()
        self._refuse_living(found)
        match self._state(found, nodes):
            case ProviderState.ABSENT:
                self._supply.check()
                self._make(options, progress)
            case ProviderState.PARTIAL:
                self._supply.check()
                made_network = self._clear(progress)
                self._make(options, progress, made_network=made_network)
            case ProviderState.STOPPED:
                self._start(progress)
            case ProviderState.READY:
                pass
        nodes = self._nodes()
        plane = self._control_plane(nodes)
        self._supply.join(self._cluster, NETWORK, [node.name for node in nodes])
        self._engine.execute(plane.id, kind_nodes.LET_GO, check=False)
        access = self._access.open()
        with closing(self._connect(access)) as cluster:
            certify = partial(certificates.certify, cluster, self._engine, plane.id, nodes)
            kind_nodes.wait(cluster, self._clock, self._cluster, progress, certify)
        self._access.share(plane)
        # Last: Docker answers nothing about our own look for ports as long as it removes that.
        sweep(self._engine)
        return access

    def access(self) -> Access:
        state = self.state()
        if state is not ProviderState.READY:
            raise ToolError(
                "CTO-1504",
                f"the kind cluster {self._cluster} is {state.value}",
                hint="`cto install` makes it, or starts it again.",
            )
        return self._access.open()

    def reach(self) -> Reach:
        return self._access.reach(self._control_plane(self._nodes()))

    def published(self) -> Mapping[int, int]:
        found, nodes = self._look()
        if found.stage is Stage.MADE and nodes:
            return published(self._control_plane(nodes))
        return self._ports

    def label(self, cluster: Cluster, profile: str) -> None:
        kind_nodes.label(cluster, profile)

    def destroy(self) -> bool:
        sweep(self._engine)
        found, nodes = self._look()
        if found.stage is Stage.NONE:
            if nodes:
                raise self._foreign(nodes)
            # A run may have died between its marker and these.
            self._supply.leave(self._cluster)
            self._access.unshare()
            return False
        self._refuse_living(found)
        self._marker.begin_removal(found)
        for node in nodes:
            self._engine.remove(node.id)
        self._supply.leave(self._cluster)
        if found.made_network:
            self._remove_network()
        self._marker.release(found)
        # Once more: the node image could not go as long as the marker was made of it.
        self._supply.leave(self._cluster)
        self._access.unshare()
        return True

    def leftovers(self) -> Sequence[str]:
        return self._supply.leftovers()

    # before anything is made

    def _settle(self) -> None:
        """Wait until Docker has removed our look for ports: nothing is there after a refusal."""
        end = self._clock.monotonic() + _SETTLE_S
        while tries(self._engine) and self._clock.monotonic() < end:
            self._clock.wait(Flag(), _LOOK_S)

    def _measured(self) -> list[Check]:
        """Return the checks of the machine; of a cluster that is there only what it still needs."""
        daemon, options = self._docker_host.daemon, self._options()
        found, nodes = self._look()
        # Looking for free ports takes each for a moment: it would be one that its nodes want now.
        self._refuse_living(found)
        there = bool(nodes) and found.stage is Stage.MADE
        free = self._docker_host.free_disk()
        made = [
            checks.room_check(daemon, options),
            checks.disk_check(free, daemon, options, there=there),
        ]
        if nodes and found.stage is Stage.NONE:
            return [*made, checks.foreign_check(self._cluster, _names(nodes), self._marker.name)]
        if there:
            return made
        return [
            *made,
            checks.cgroup_check(daemon, self._kube_version()),
            checks.inotify_check(self._docker_host.inotify(), options.nodes),
            checks.ports_check(self._wanted_ports, self._ports),
            checks.ranges_check(self._ranges, self._subnets),
        ]

    @cached_property
    def _ports(self) -> Mapping[int, int]:
        """Port of every node -> port of the host that nobody has.

        Nodes that are about to be removed may hold some: those are ours.
        """
        own = {port for node in self._nodes() for port in node.bindings.values()}
        taken = self._docker_host.taken(
            port for port in self._wanted_ports.values() if port not in own
        )
        result = placed(self._wanted_ports, taken)
        moved = [port for port in result.values() if port not in self._wanted_ports.values()]
        while moved and (more := self._docker_host.taken(p for p in moved if p not in own)):
            taken |= more
            result = placed(self._wanted_ports, taken)
            moved = [port for port in result.values() if port not in self._wanted_ports.values()]
        return result

    @cached_property
    def _subnets(self) -> Sequence[str]:
        return [subnet for network in self._engine.networks() for subnet in network.subnets]

    @cached_property
    def _ranges(self) -> Ranges | None:
        return ranges(self._subnets)

    # making

    def _make(
        self,
        options: NodeOptions,
        progress: Callable[[str], None],
        *,
        made_network: bool = False,
    ) -> None:
        image = self._supply.node_image(progress)
        # Whoever of ours goes last takes the network along, if one of ours came with it.
        makes_network = (
            made_network or self._engine.network(NETWORK) is None or self._marker.any_made_network()
        )
        self._marker.take(image, nodes=options.nodes, makes_network=makes_network)
        if self._nodes():
            # Between our look and our marker another run has made it, or somebody with kind.
            self._marker.release(self._marker.find())
            self.state()
            raise self._marker.locked(self._marker.find())
        self._create(image, options, progress)
        self._engine.keep_running(*_names(self._nodes()))
        self._marker.finish()

    def _create(self, image: str, options: NodeOptions, progress: Callable[[str], None]) -> None:
        found = self._ranges
        if found is None:
            raise PreflightError("CTO-1400", "no private address range is left")
        version = self._kube_version()
        shape = Shape(
            cluster=self._cluster,
            nodes=options.nodes,
            profile=options.profile,
            ports=self._ports,
            ranges=found,
            old_cgroups=needs_old_cgroups(version, self._docker_host.daemon.cgroup_version),
        )
        for node_port, wanted in self._wanted_ports.items():
            if (port := self._ports[node_port]) != wanted:
                progress(f"Port {wanted} is taken: {port} is used instead")
        try:
            self._program.create(shape, image, progress)
        except ToolError:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Leave nothing half-made behind, where there is still somebody to do it."""
        found = self._marker.find()
        for node in self._nodes():
            self._engine.remove(node.id)
        if found.made_network:
            # kind makes it first, and never removes it.
            self._remove_network()
        self._marker.release(found)

    def _clear(self, progress: Callable[[str], None]) -> bool:
        """Remove what a run left that died while it made the cluster.

        Returns:
            Whether the network came with that cluster: it may have to stay for others.
        """
        # The nodes are listed before the marker is looked at: another run that takes over makes
        # its own only after this very marker is gone, so none of its nodes are on the list.
        nodes = self._nodes()
        found = self._marker.find()
        if found.stage is Stage.NONE or (found.stage is Stage.MADE and self._nodes()):
            return False
        self._refuse_living(found)
        if nodes:
            progress(f"Removing {len(nodes)} nodes of a cluster that never came up")
        for node in nodes:
            self._engine.remove(node.id)
        if found.made_network:
            # As long as the marker says so: a kill after it would leave a network of nobody's.
            self._remove_network()
        self._marker.release(found)
        return found.made_network

    def _start(self, progress: Callable[[str], None]) -> None:
        stopped = [node for node in self._nodes() if not node.running]
        progress(f"Starting {', '.join(_names(stopped))} again")
        for node in stopped:
            self._engine.start(node.id)

    # ending

    def _remove_network(self) -> None:
        """Remove the network that came with the cluster, unless somebody else uses it now."""
        if own := self._engine.own():
            self._engine.disconnect(NETWORK, own.id)
        inside = [one for one in self._engine.containers() if NETWORK in one.networks]
        if all(one.labels.get(ROLE) == REGISTRY for one in inside):
            # Registries are there for nodes; the next ones have them connected again.
            for one in inside:
                self._engine.disconnect(NETWORK, one.id)
            self._engine.remove_network(NETWORK)

    # looking

    def _look(self) -> tuple[Found, Sequence[DockerContainer]]:
        """Return the marker and the nodes, listed before it: see `_clear`."""
        nodes = self._nodes()
        found = self._marker.find()
        if nodes and found.stage is Stage.NONE:
            # It may have got its other name just between the looks at the two.
            found = self._marker.find()
        return found, nodes

    def _nodes(self) -> Sequence[DockerContainer]:
        return self._engine.containers(**{NODE_LABEL: self._cluster})

    def _control_plane(self, nodes: Sequence[DockerContainer]) -> DockerContainer:
        for node in nodes:
            if node.labels.get(NODE_ROLE_LABEL) == "control-plane":
                return node
        raise ToolError(
            "CTO-1504",
            f"the cluster {self._cluster} has lost its control plane, and all it knew",
            hint="cto uninstall --provider kind --cluster, then cto install",
        )

    def _refuse_living(self, found: Found) -> None:
        if found.stage is Stage.MAKING and self._marker.lives(found) is not False:
            raise self._marker.locked(found)

    def _foreign(self, nodes: Sequence[DockerContainer]) -> PreflightError:
        check = checks.foreign_check(self._cluster, _names(nodes), self._marker.name)
        return PreflightError("CTO-1424", check.message, hint=check.fix)


def _names(nodes: Sequence[DockerContainer]) -> list[str]:
    return [node.name for node in nodes]
