"""What leaves the cluster: destinations and names that are asked for, and what was not measured.

There is a tap in the network namespace of every container from its start on, nodes included, and
one where everything has to pass: on the cable of a daemon that has a namespace of its own, else in
the host's namespace, where it looks at what comes from Docker's networks. A tap that lost packets,
or could not be laid, counts as not measured.
"""

from __future__ import annotations

import ipaddress
import selectors
import subprocess
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from .engine import Engine
from .namespaces import HERE, Tap, identity, of_process
from .packets import Packet

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
CABLE = "the cable of the daemon"
HOST = "the host's namespace"
# No router passes these on.
_LINK = ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/24", "255.255.255.255/32", "0.0.0.0/32")
_LINK6 = ("::1/128", "::/128", "fe80::/10", "ff01::/16", "ff02::/16")
_OWN_DOMAINS = ("cluster.local", "in-addr.arpa", "ip6.arpa", "localhost")
_LOOK_S = 0.2
_JOIN_S = 10


@dataclass(frozen=True, order=True)
class Destination:
    """Somewhere outside, and who sent something there."""

    who: str
    address: str
    protocol: str
    port: int

    def __str__(self) -> str:
        port = f":{self.port}" if self.port else ""
        return f"{self.who} -> {self.address}{port}/{self.protocol}"


@dataclass(frozen=True, order=True)
class Question:
    """A name that is nobody's in the cluster, and who asked for it."""

    who: str
    name: str

    def __str__(self) -> str:
        return f"{self.who} asks for {self.name}"


@dataclass(frozen=True, kw_only=True)
class Inside:
    """What belongs to the cluster: address ranges, and names of containers."""

    ranges: tuple[IPNetwork, ...]
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, ranges: Iterable[str], names: Iterable[str] = ()) -> Inside:
        all_ranges = (*_LINK, *_LINK6, *ranges)
        networks = tuple(ipaddress.ip_network(one, strict=False) for one in all_ranges)
        return cls(ranges=networks, names=frozenset(name.lower() for name in names))

    def has(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        return any(found.version == one.version and found in one for one in self.ranges)

    def knows(self, name: str) -> bool:
        domains = (*_OWN_DOMAINS, *self.names)
        return any(name == one or name.endswith(f".{one}") for one in domains)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was seen outside, by how many taps, and what could not be seen."""

    taps: Sequence[str]
    destinations: Sequence[Destination]
    questions: Sequence[Question]
    not_measured: Sequence[str]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was heard; see `not_measured` and `taps` for what could be."""
        return not self.destinations and not self.questions

    def __str__(self) -> str:
        lines = [f"outside the cluster, heard by {len(self.taps)} taps ({', '.join(self.taps)}):"]
        lines += _listed("destinations", self.destinations)
        lines += _listed("names asked for", self.questions)
        lines += [f"  not measured: {one}" for one in self.not_measured]
        return "\n".join(lines)


def _listed(what: str, found: Sequence[object]) -> list[str]:
    if not found:
        return [f"  {what}: none"]
    return [f"  {what}: {len(found)}", *(f"    {one}" for one in found)]


class Watch:
    """Listens from `with` to the end of its block; `report` may be asked afterwards too.

    Args:
        engine: The daemon whose containers are listened to.
        cable: The namespace that everything of the daemon has to leave through, if it has one.
    """

    def __init__(self, engine: Engine, *, cable: Path | None = None) -> None:
        self._engine = engine
        self._cable = cable
        self._taps: list[Tap] = []
        self._not_measured: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._threads: list[threading.Thread] = []
        self._events: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self._cable:
            self._lay(CABLE, self._cable, everything=True)
        else:
            self._lay(HOST, HERE)
            self._not_measured.append(
                "the Docker daemon's own connections: it shares the host's namespace"
            )
        self._lay_all()
        for work in (self._follow, self._listen):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._events:
            self._events.terminate()
        for thread in self._threads:
            thread.join(_JOIN_S)
        for tap in self._taps:
            tap.close()
        self._selector.close()

    def report(self, inside: Inside) -> Report:
        """Sort what was heard into what is the cluster's and what is not."""
        destinations: set[Destination] = set()
        questions: set[Question] = set()
        with self._lock:
            heard = [(tap.who, packet) for tap in self._taps for packet in set(tap.seen)]
            lost = [f"{tap.who}: {tap.lost} packets were lost" for tap in self._taps if tap.lost]
            taps = sorted({tap.who for tap in self._taps})
        for who, packet in heard:
            if who == HOST and not self._is_dockers(packet, inside):
                continue
            if not inside.has(packet.destination):
                at = (packet.destination, packet.protocol, packet.port)
                destinations.add(Destination(who, *at))
            if packet.question and not inside.knows(packet.question):
                questions.add(Question(who, packet.question))
        return Report(
            taps=taps,
            destinations=sorted(destinations),
            questions=sorted(questions),
            not_measured=[*self._not_measured, *lost],
        )

    @staticmethod
    def _is_dockers(packet: Packet, inside: Inside) -> bool:
        """Tell whether a packet in the host's namespace comes from a network of Docker's."""
        source = ipaddress.ip_address(packet.source)
        return not source.is_loopback and not source.is_link_local and inside.has(packet.source)

    def _lay(self, who: str, namespace: Path, *, everything: bool = False) -> None:
        with self._lock:
            try:
                if identity(namespace) in {tap.identity for tap in self._taps}:
                    return
                tap = Tap(who, namespace, everything)
            except (FileNotFoundError, ProcessLookupError):
                return  # it ended meanwhile; what it sent passed the tap that all have to pass
            except OSError as error:
                self._not_measured.append(f"{who}: {error}")
                return
            self._taps.append(tap)
            self._selector.register(tap.packet_socket, selectors.EVENT_READ, tap)

    def _lay_all(self) -> None:
        for name, pid in self._engine.processes():
            self._lay(name, of_process(pid))

    def _follow(self) -> None:
        """Lay a tap for every container that starts; Docker may be restarted meanwhile."""
        while not self._over.is_set():
            with self._engine.events("start") as self._events:
                self._lay_all()
                for name in self._events.stdout or ():
                    for pid in self._engine.pids(name.strip()):
                        self._lay(name.strip(), of_process(pid))
            self._over.wait(_LOOK_S)

    def _listen(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                key.data.drain()
