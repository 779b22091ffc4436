"""Who holds a lock: a process, the container that it runs in, and whether it still lives.

No clock is asked. The number of a process says something only in its PID namespace, the id of a
container only to the Docker that runs it, and both only until the machine starts again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Machine(Protocol):
    """Whose processes we see. `adapters.host.Host` does it."""

    name: str
    pid: int

    @property
    def boot_id(self) -> str: ...
    @property
    def pid_namespace(self) -> str: ...
    def started(self, pid: int) -> str:
        """Return when a process was started, '' if it does not live."""
        ...

    def is_stopped(self, pid: int) -> bool:
        """Tell whether a process was stopped, by Ctrl-Z or a debugger."""
        ...


class Containers(Protocol):
    """What Docker tells of the containers that installers run in; it is asked when one is named."""

    @property
    def own(self) -> str:
        """The id of ours; '' if there is none."""
        ...

    @property
    def daemon(self) -> str:
        """The id of the daemon itself; '' if none answers."""
        ...

    def may_live(self, container: str) -> bool:
        """Tell whether a container, by its id, may still have processes."""
        ...


class NoContainers:
    """Where there is no Docker to ask."""

    own = ""
    daemon = ""

    def may_live(self, container: str) -> bool:
        del container
        return True


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lock, as it is written there: `host=laptop pid=42 ...`.

    Attributes:
        started: When the process was started, as the machine counts.
        daemon: Which Docker runs the container.
        nonce: Tells two locks of one process from each other.
    """

    host: str = ""
    pid: str = ""
    started: str = ""
    boot: str = ""
    pidns: str = ""
    daemon: str = ""
    container: str = ""
    nonce: str = ""

    def __str__(self) -> str:
        return " ".join(f"{key}={value}" for key, value in vars(self).items())

    @classmethod
    def here(cls, machine: Machine, containers: Containers, *, nonce: str = "") -> Holder:
        """Return this process."""
        own = containers.own
        return cls(
            host=machine.name,
            pid=str(machine.pid),
            started=machine.started(machine.pid),
            boot=machine.boot_id,
            pidns=machine.pid_namespace,
            daemon=containers.daemon if own else "",
            container=own,
            nonce=nonce,
        )

    @classmethod
    def parse(cls, text: str) -> Holder:
        """Read what `str` wrote; of anything else, everything is the host."""
        words = dict(word.partition("=")[::2] for word in text.split())
        if words.keys() == cls.__dataclass_fields__.keys():
            return cls(**words)
        return cls(host=text)

    def lives(self, machine: Machine, containers: Containers) -> bool | None:
        """Whether the process lives; None if that cannot be known from here."""
        # Another boot may be another machine of the same name.
        if not self.boot or self.boot != machine.boot_id:
            return None
        seen = (self.host, self.pidns) == (machine.name, machine.pid_namespace)
        if seen and self.pidns and self.pid.isdecimal():
            if machine.started(int(self.pid)) != self.started:
                return False
            # Whether a stopped process (Ctrl-Z) will ever go on cannot be known.
            return None if machine.is_stopped(int(self.pid)) else True
        if not self.container or not self.daemon or self.daemon != containers.daemon:
            return None
        # Ours, with another PID namespace, was started again since: its processes are new ones.
        gone = self.container == containers.own or not containers.may_live(self.container)
        # In a container that lives, this process need not.
        return False if gone else None

    @property
    def described(self) -> str:
        if self.container:
            return f"Process {self.pid} in the container {self.container[:12]}"
        return f"Process {self.pid} on {self.host}" if self.pid else self.host or "Somebody"

    @property
    def look(self) -> str:
        """How to see whether it lives; '' if nothing is known of it."""
        if self.container:
            return f"`docker ps --filter id={self.container[:12]}`"
        return f"`ps -o pid,lstart,args -p {self.pid}` on {self.host}" if self.pid else ""
