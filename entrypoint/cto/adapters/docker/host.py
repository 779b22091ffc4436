"""The machine that Docker runs on, as far as it can be measured from where we run.

In a container of that Docker we see its kernel and the file system of its data; the ports of its
host only Docker itself can try. A plain process beside Docker sees everything. Docker Desktop's
virtual machine shows nothing, and the loopback address leads there all the same.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from cto.adapters.docker.container import (
    LOOPBACK,
    ContainerSpec,
    Daemon,
    DockerContainer,
    Engine,
    Publish,
)
from cto.adapters.host import Host
from cto.errors import ToolError

_PORT_TAKEN = re.compile(
    r"(?i)port is already allocated|address already in use|ports are not available|"
    r"cannot expose privileged port|failed to bind host port"
)
_SOCKETS = ("unix", "npipe", "fd")
# What is on a container that tries whether ports can be published, and whose it is.
_ROLE, _PORTS = "cto.dev/role", "ports"
_OF = "cto.dev/of"


class DockerLocation(StrEnum):
    """Where we run, seen from Docker."""

    INSIDE = "inside"
    """In a container of this Docker."""
    BESIDE = "beside"
    """On the machine that it runs on."""
    DESKTOP = "desktop"
    """On a machine whose Docker runs in a virtual machine of its own."""
    REMOTE = "remote"
    """On another machine: its loopback address is not ours."""
    NESTED = "nested"
    """In a container that this Docker does not know: its loopback address is not ours either."""


class DockerHost:
    """Docker's machine.

    Args:
        engine: Docker.
        host: Where we run.
        root: The root of the file system that we see; tests give a copy.
        is_free: Tells whether nobody listens on a port of our loopback address.
    """

    def __init__(
        self,
        engine: Engine,
        host: Host,
        *,
        root: Path = Path("/"),
        is_free: Callable[[int], bool] | None = None,
    ) -> None:
        self._engine = engine
        self._host = host
        self._root = root
        self._is_free = is_free or port_is_free

    @property
    def daemon(self) -> Daemon:
        """What answers."""
        return self._engine.daemon()

    @cached_property
    def location(self) -> DockerLocation:
        if self._engine.own():
            return DockerLocation.INSIDE
        address = urlsplit(self.daemon.endpoint)
        if address.scheme not in _SOCKETS and not _is_loopback(address.hostname or ""):
            return DockerLocation.REMOTE
        # A Docker that was started in our own container has our host name.
        if self.daemon.host == self._host.name:
            return DockerLocation.BESIDE
        return DockerLocation.NESTED if self._host.in_container else DockerLocation.DESKTOP

    def free_disk(self) -> int | None:
        """Return the free bytes where Docker keeps its data; None if they cannot be seen."""
        match self.location:
            case DockerLocation.INSIDE:
                # The root of a container lies there, with every storage driver.
                folder = self._root
            case DockerLocation.BESIDE:
                folder = self._root / self.daemon.root.lstrip("/")
            case _:
                return None
        try:
            status = os.statvfs(folder)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize

    def inotify(self) -> tuple[int, int] | None:
        """Return how many instances and watches one user may have; None if not to be seen."""
        if self.location not in (DockerLocation.INSIDE, DockerLocation.BESIDE):
            return None
        folder = self._root / "proc/sys/fs/inotify"
        try:
            instances, watches = (
                int((folder / name).read_text(encoding="ascii"))
                for name in ("max_user_instances", "max_user_watches")
            )
        except (OSError, ValueError):
            return None
        return instances, watches

    def taken(self, ports: Iterable[int]) -> frozenset[int]:
        """Return which of these ports of the host's loopback address cannot be published."""
        wanted = tuple(ports)
        if self.location is not DockerLocation.INSIDE:
            rootless = self.daemon.rootless
            return frozenset(p for p in wanted if (rootless and p < 1024) or not self._is_free(p))
        # Each try is a container: what Docker has published itself needs none.
        alive = (one for one in self._engine.containers() if one.alive)
        known = frozenset(wanted) & {port for one in alive for port in one.ports.values()}
        rest = tuple(port for port in wanted if port not in known)
        if not rest or self._can_publish(rest):
            return known
        return known | {port for port in rest if not self._can_publish((port,))}

    def _can_publish(self, ports: tuple[int, ...]) -> bool:
        """Let Docker try, with a container of our own image that ends at once."""
        own = self._engine.own()
        if own is None:  # pragma: no cover - asked only from inside
            return True
        made = self._engine.create(
            ContainerSpec(
                name=f"cto-ports-{own.id[:12]}-{self._host.pid}-{ports[0]}",
                image=own.image_id,
                entrypoint="true",
                publish=tuple(Publish(container_port=p, host_port=p) for p in ports),
                labels={_ROLE: _PORTS, _OF: own.id},
                once=True,
            )
        )
        try:
            self._engine.start(made)
        except ToolError as error:
            # An image without `true` fails later than a port does.
            return not _PORT_TAKEN.search(error.details)
        return True


def tries(engine: Engine) -> Sequence[DockerContainer]:
    """Return our own tries that Docker has not removed yet; it does so by itself."""
    own = engine.own()
    return engine.containers(**{_ROLE: _PORTS, _OF: own.id}) if own else ()


def sweep(engine: Engine) -> None:
    """Remove the tries of installers that were killed in the middle of one."""
    for one in engine.containers(**{_ROLE: _PORTS}):
        owner = engine.container(one.labels.get(_OF, one.id))
        if owner is None or not owner.alive:
            engine.remove(one.id)


def port_is_free(port: int) -> bool:
    """Tell whether nobody listens on a port of the loopback address."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except PermissionError:
            # Not ours to listen on; Docker may. Whoever listens lets us in.
            with socket.socket() as caller:
                caller.settimeout(1)
                return caller.connect_ex((LOOPBACK, port)) != 0
        except OSError:
            return False
    return True


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
