"""Network namespaces of Linux, and a tap that hears every packet of interest in one of them."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from .packets import Packet, parse, program

T = TypeVar("T")
_LIBC = ctypes.CDLL(None, use_errno=True)
HERE = Path("/proc/self/ns/net")
_CLONE_NEWNET = 0x40000000
_ALL_PROTOCOLS = 0x0003
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_BUFFER = 4 << 20


def of_process(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net")


def identity(namespace: Path) -> int:
    """Tell namespaces apart: two paths may lead to the same one."""
    return namespace.stat().st_ino


def inside(namespace: Path, work: Callable[[], T]) -> T:
    """Do something in a namespace, in a thread of its own; sockets that it makes stay there."""

    def enter() -> T:
        descriptor = os.open(namespace, os.O_RDONLY)
        try:
            _check(_LIBC.setns(descriptor, _CLONE_NEWNET), str(namespace))
        finally:
            os.close(descriptor)
        return work()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(enter).result()


@dataclass(eq=False)
class Tap:
    """A packet socket for all interfaces of a namespace, also those that come later.

    Attributes:
        who: Whose namespace it is.
        seen: Every kind of packet, once.
        everything: Hear every packet, not only those that open a connection.
        lost: How many packets the kernel had no room for: above 0 the tap proves nothing.
    """

    who: str
    namespace: Path
    everything: bool = False
    seen: set[Packet] = field(default_factory=set)
    lost: int = 0
    identity: int = field(init=False)
    packet_socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        # While the socket lives, so does the namespace, and nobody else gets its number.
        self.identity = identity(self.namespace)
        self.packet_socket = inside(self.namespace, self._listen)

    def drain(self) -> None:
        """Read what came since the last time."""
        self.seen.update(self._packets())
        statistics = self.packet_socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self.lost += struct.unpack("=II", statistics)[1]

    def close(self) -> None:
        self.drain()
        self.packet_socket.close()

    def _listen(self) -> socket.socket:
        # With protocol 0 nothing arrives yet: the filter is there before the first packet.
        listening = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        if not self.everything:
            _filter(listening)
        listening.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        listening.settimeout(0)
        # Python binds to one interface only.
        where = (socket.AF_PACKET, socket.htons(_ALL_PROTOCOLS), 0, 0, 0, 0)
        everywhere = struct.pack("=HHiHBB8x", *where)
        _check(_LIBC.bind(listening.fileno(), everywhere, len(everywhere)), "packet socket")
        return listening

    def _packets(self) -> Iterator[Packet]:
        while True:
            try:
                data, address = self.packet_socket.recvfrom(2048)
            except BlockingIOError:
                return
            if packet := parse(data, address[1]):
                yield packet


def _filter(listening: socket.socket) -> None:
    length, code = program()
    memory = ctypes.create_string_buffer(code)
    pointer = struct.pack("@HP", length, ctypes.addressof(memory))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
