"""What must be right before a kind cluster is made. Each check is pure: facts in, verdict out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cto.adapters.docker import Daemon, DockerLocation
from cto.adapters.kind.config import CGROUP_V2_FROM, Ranges, minor
from cto.ports import NodeOptions
from cto.result import Check, Topic

# With it came cgroup v2 and `--pull` of `docker create`; it is what Debian 11 and 12 have.
_OLDEST = (20, 10)
_GIB = 1 << 30
# An unpacked node image, and what kubelet, etcd and logs of one node take (measured: 0.6 GB).
_NODE_IMAGE_GIB = 2
_NODE_GIB = 1
# https://kind.sigs.k8s.io/docs/user/known-issues/#pod-errors-due-to-too-many-open-files
_INSTANCES, _WATCHES = 512, 524288
# What one node starts with; the kernel's own default is 128.
_FEWEST_INSTANCES = 64
_SAME_PLACE = (
    "Run the command on that machine, or take a cluster that exists: --provider existing --context "
    "NAME"
)


def docker_check(daemon: Daemon) -> Check:
    """Tell whether this Docker can run kind's nodes."""
    found = f"{daemon.product} {daemon.version} at {daemon.endpoint}"
    topic = Topic("docker", "Docker")
    if daemon.product != "Docker":
        text = f"{found}: kind's nodes need Docker"
        fix = "Name the socket of a Docker: DOCKER_HOST=unix:///path/docker.sock"
        return topic.failed(text, fix=fix, code="CTO-1423")
    if daemon.os_type != "linux":
        text = f"{found} runs {daemon.os_type} containers"
        return topic.failed(text, fix="Switch it to Linux containers.", code="CTO-1423")
    if _version(daemon.version) < _OLDEST:
        text = f"{found} is older than {'.'.join(map(str, _OLDEST))}"
        return topic.failed(text, fix="Update Docker.", code="CTO-1422")
    if daemon.rootless and daemon.cgroup_version == 1:
        text = f"{found} runs without root on cgroup v1"
        fix = "Use a Docker that runs as root, or a machine with cgroup v2."
        return topic.failed(text, fix=fix, code="CTO-1423")
    if daemon.rootless:
        fix = "See https://kind.sigs.k8s.io/docs/user/rootless/ if nodes do not start."
        return topic.warning(f"{found}, without root", fix=fix)
    return topic.passed(found)


def place_check(location: DockerLocation, daemon: Daemon) -> Check:
    """Tell whether what Docker publishes on its loopback address can be reached from here."""
    topic = Topic("docker-place", "Docker's place")
    match location:
        case DockerLocation.REMOTE:
            text = f"Docker at {daemon.endpoint} is on another machine ({daemon.host})"
            return topic.failed(text, fix=_SAME_PLACE, code="CTO-1423")
        case DockerLocation.NESTED:
            text = (
                f"Docker at {daemon.endpoint} does not run the container that cto is in: nothing "
                "that it publishes can be reached from here"
            )
            fix = "Mount the socket of the Docker that runs this container, or add --network host."
            return topic.failed(text, fix=fix, code="CTO-1423")
        case DockerLocation.INSIDE:
            return topic.passed("cto runs in a container of it")
        case DockerLocation.DESKTOP:
            return topic.passed(f"in a virtual machine of its own ({daemon.host})")
        case DockerLocation.BESIDE:
            return topic.passed("on this machine")


def room_check(daemon: Daemon, options: NodeOptions) -> Check:
    """Tell whether the machine has the CPUs and the memory of the profile.

    What pods really ask for is counted when the cluster is there: only what is hopeless fails here.
    """
    has, needs = daemon.memory / _GIB, options.memory_gib
    message = (
        f"{daemon.cpus} CPUs and {has:.1f} GiB, profile {options.profile} wants {options.cpu} "
        f"and {needs} GiB"
    )
    topic = Topic("docker-room", "CPUs and memory")
    fix = "Give Docker's machine more, or choose a smaller profile."
    if has < needs / 2:
        return topic.failed(message, fix=fix)
    # A machine that is sold with 8 GiB shows 7.6.
    if has < needs * 0.9 or daemon.cpus < options.cpu:
        return topic.warning(message, fix=fix)
    return topic.passed(message)


def disk_check(free: int | None, daemon: Daemon, options: NodeOptions, *, there: bool) -> Check:
    """Tell whether Docker's data has room: for the nodes (`there`: they exist) and the images."""
    topic = Topic("docker-disk", "Disk of Docker")
    if free is None:
        return topic.skipped("not measured: Docker's data cannot be seen from here")
    least = _NODE_GIB if there else _NODE_IMAGE_GIB + _NODE_GIB * options.nodes
    message = f"{free / _GIB:.1f} GiB free in {daemon.root}"
    fix = "`docker system df` tells what takes room, `docker image prune` makes some."
    if free < least * _GIB:
        return topic.failed(f"{message}, {least} GiB are needed", fix=fix)
    if not there and free < options.disk_gib * _GIB:
        text = f"{message}, profile {options.profile} wants {options.disk_gib} GiB"
        return topic.warning(text, fix=fix)
    return topic.passed(message)


def cgroup_check(daemon: Daemon, kube_version: str) -> Check:
    """Tell whether kubelets of that version run on the host's cgroups."""
    topic = Topic("docker-cgroup", "Control groups")
    if not daemon.cgroup_version:
        return topic.skipped("not measured: Docker does not tell the version")
    message = f"cgroup v{daemon.cgroup_version}"
    if daemon.cgroup_version == 1 and minor(kube_version) >= CGROUP_V2_FROM:
        text = f"{message}: Kubernetes {kube_version} runs on it only because it is told to"
        return topic.warning(text, fix="Switch the machine to cgroup v2 when you can.")
    return topic.passed(message)


def inotify_check(limits: tuple[int, int] | None, nodes: int) -> Check:
    """Tell whether programs in the nodes may watch enough files."""
    topic = Topic("docker-inotify", "Limits of inotify")
    if limits is None:
        return topic.skipped("not measured: Docker's kernel cannot be seen from here")
    instances, watches = limits
    message = f"{instances} instances, {watches} watches"
    fix = (
        f"sudo sysctl -w fs.inotify.max_user_instances={_INSTANCES} "
        f"fs.inotify.max_user_watches={_WATCHES}"
    )
    if instances < _FEWEST_INSTANCES * nodes:
        text = f"{message}: {nodes} nodes need {_FEWEST_INSTANCES * nodes} instances"
        return topic.failed(text, fix=fix)
    if instances < _INSTANCES and nodes > 1:
        return topic.warning(f"{message}: often too few for {nodes} nodes", fix=fix)
    return topic.passed(message)


def ports_check(wanted: Mapping[int, int], placed: Mapping[int, int]) -> Check:
    """Tell which ports of the host moved, because somebody has them."""
    moved = [
        f"{port} is taken: {placed[n]} is used instead"
        for n, port in wanted.items()
        if placed[n] != port
    ]
    message = "ports " + ", ".join(str(port) for port in sorted(placed.values()))
    topic = Topic("docker-ports", "Ports of the host")
    if moved:
        fix = "Nothing has to be done. To get the usual ports, end what listens there first."
        return topic.warning(message, fix=fix, items=tuple(moved))
    return topic.passed(message)


def ranges_check(found: Ranges | None, taken: Sequence[str]) -> Check:
    """Tell whether pods and services get addresses that nobody else has."""
    topic = Topic("docker-subnets", "Address ranges")
    if found is None:
        fix = "Remove Docker networks that are not needed: `docker network prune`."
        text = "no private range is left for pods and services"
        return topic.failed(text, fix=fix, items=tuple(taken))
    return topic.passed(f"pods {found.pods}, services {found.services}")


def foreign_check(cluster: str, nodes: Sequence[str], marker: str) -> Check:
    """Refuse nodes of our cluster's name that lack our marker."""
    return Topic("kind-cluster", "Cluster").failed(
        message=f"there is a kind cluster {cluster} that cto did not make ({', '.join(nodes)}; no "
        f"container {marker})",
        fix=f"Install on it as it is: --provider existing --context kind-{cluster}\n"
        f"or make another one beside it: --cluster-name NAME\n"
        f"or remove it yourself: kind delete cluster --name {cluster}",
        code="CTO-1424",
    )


def _version(text: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
