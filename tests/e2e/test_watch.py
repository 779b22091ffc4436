"""The watch sees what leaves: a check that cannot fail is no check."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .namespaces import Tap, inside
from .packets import IPV4, Packet, parse
from .watch import Inside

NAMESPACES = Path("/run/netns")
IP = shutil.which("ip") or ""
FAR = "203.0.113.7"
FAR6 = "2001:db8::7"


@pytest.fixture
def cable() -> Iterator[tuple[Path, Path]]:
    """Two namespaces and a cable; the first one has a route to everywhere through it."""
    if os.geteuid() or not IP:
        pytest.skip("network namespaces need root and iproute2")
    near, far = (f"cto-watch-{os.getpid()}-{end}" for end in "ab")
    lines = [
        f"netns add {near}",
        f"netns add {far}",
        f"link add cable netns {near} type veth peer name cable netns {far}",
    ]
    for name, v4, v6 in ((near, "198.18.9.1", "fd9e::1"), (far, "198.18.9.2", "fd9e::2")):
        lines += [
            f"-n {name} link set lo up",
            f"-n {name} address add {v4}/24 dev cable",
            f"-n {name} -6 address add {v6}/64 dev cable nodad",
            f"-n {name} link set cable up",
        ]
    lines += [
        f"-n {near} route add default via 198.18.9.2",
        f"-n {near} -6 route add default via fd9e::2",
    ]
    try:
        for line in lines:
            subprocess.run([IP, *line.split()], check=True)
        settle(near, far)
        yield NAMESPACES / near, NAMESPACES / far
    finally:
        for name in (near, far):
            subprocess.run([IP, "netns", "delete", name], check=False)


def settle(*names: str) -> None:
    """Wait until IPv6 is sure that nobody else has its addresses; until then it sends nothing."""
    deadline = time.monotonic() + 10
    for name in names:
        show = [IP, "-n", name, "-6", "address", "show", "tentative"]
        while subprocess.check_output(show):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def query(name: str) -> bytes:
    labels = b"".join(bytes([len(word)]) + word.encode() for word in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def datagram(family: int, data: bytes, to: tuple[str, int]) -> Callable[[], None]:
    def send() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, to)

    return send


def connection(family: int, to: tuple[str, int]) -> Callable[[], None]:
    def connect() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as opening:
            opening.settimeout(0.2)
            with suppress(OSError):
                opening.connect(to)

    return connect


def test_what_leaves_a_namespace_is_heard_at_both_ends(cable: tuple[Path, Path]) -> None:
    near, far = cable
    taps = [Tap("near", near), Tap("far", far)]
    inside(near, connection(socket.AF_INET, (FAR, 443)))
    inside(near, connection(socket.AF_INET6, (FAR6, 443)))
    inside(near, datagram(socket.AF_INET, b"x" * 4000, (FAR, 8125)))
    inside(near, datagram(socket.AF_INET, query("Registry-1.Docker.IO"), (FAR, 53)))
    inside(near, datagram(socket.AF_INET6, query("quay.io"), (FAR6, 53)))
    for tap in taps:
        tap.close()
        left = {packet for packet in tap.seen if packet.destination in (FAR, FAR6)}
        assert tap.lost == 0
        assert left == {
            Packet("198.18.9.1", FAR, "tcp", 443),
            Packet("fd9e::1", FAR6, "tcp", 443),
            Packet("198.18.9.1", FAR, "udp", 8125),
            Packet("198.18.9.1", FAR, "udp", 53, "registry-1.docker.io"),
            Packet("fd9e::1", FAR6, "udp", 53, "quay.io"),
        }


def test_where_all_has_to_pass_not_only_the_first_packet_is_heard(
    cable: tuple[Path, Path],
) -> None:
    near, far = cable
    tap = Tap("far", far, everything=True)
    bare = bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 198, 18, 9, 1, 203, 0, 113, 7])
    reset = struct.pack("!HHIIBBHHH", 4711, 443, 0, 0, 0x50, 0x04, 0, 0, 0)

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(bare + reset, (FAR, 0))

    inside(near, send)
    tap.close()
    assert Packet("198.18.9.1", FAR, "tcp", 443) in tap.seen


def test_an_error_tells_where_the_packet_wanted_to_go() -> None:
    """Also if that packet itself was none that is listened for."""
    addresses = bytes([198, 18, 0, 2, 203, 0, 113, 7])
    inner = (
        bytes([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]) + addresses + struct.pack("!HH", 1, 443)
    )
    icmp = bytes([3, 0, 0, 0, 0, 0, 0, 0]) + inner
    outer = bytes([0x45, 0, 0, 68, 0, 0, 0, 0, 64, 1, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]) + icmp
    assert parse(outer, IPV4) == Packet("198.18.0.2", FAR, "tcp", 443)


def test_names_asked_of_dockers_name_server_are_heard(cable: tuple[Path, Path]) -> None:
    near, _ = cable
    tap = Tap("near", near)
    inside(near, datagram(socket.AF_INET, query("ghcr.io"), ("127.0.0.11", 41234)))
    tap.close()
    assert Packet("127.0.0.1", "127.0.0.11", "udp", 41234, "ghcr.io") in tap.seen


def test_a_name_asked_for_over_tcp_is_heard(cable: tuple[Path, Path]) -> None:
    near, far = cable
    server = inside(far, lambda: socket.create_server(("198.18.9.2", 53)))
    tap = Tap("near", near)

    def ask() -> None:
        with socket.create_connection(("198.18.9.2", 53), timeout=5) as asking:
            message = query("charts.example.com")
            asking.sendall(struct.pack("!H", len(message)) + message)
            server.accept()[0].close()

    inside(near, ask)
    server.close()
    tap.close()
    assert "charts.example.com" in {packet.question for packet in tap.seen}


def test_a_flood_is_counted_or_reported_as_lost(cable: tuple[Path, Path]) -> None:
    near, _ = cable
    tap = Tap("near", near)

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in range(1, 30001):
                sender.sendto(b"x" * 600, (FAR, port))

    inside(near, flood)
    tap.close()
    heard = sum(packet.destination == FAR for packet in tap.seen)
    assert heard < 30000
    assert heard + tap.lost >= 30000


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("10.244.0.7", True),
        ("172.18.0.2", True),
        ("127.0.0.11", True),
        ("ff02::16", True),
        ("fc00:f853::2", True),
        ("172.19.0.2", False),
        ("224.1.2.3", False),
        ("2001:db8::1", False),
    ],
)
def test_addresses_are_the_clusters_or_not(address: str, *, is_inside: bool) -> None:
    ranges = ("10.244.0.0/16", "172.18.0.0/16", "fc00:f853::/64")
    assert Inside.of(ranges).has(address) is is_inside


@pytest.mark.parametrize(
    ("name", "is_inside"),
    [
        ("kubernetes.default.svc.cluster.local", True),
        ("cto-control-plane", True),
        ("7.0.244.10.in-addr.arpa", True),
        ("registry-1.docker.io", False),
        ("cluster.local.example.com", False),
        (".", False),
    ],
)
def test_names_are_the_clusters_or_not(name: str, *, is_inside: bool) -> None:
    assert Inside.of((), ["cto-control-plane"]).knows(name) is is_inside
