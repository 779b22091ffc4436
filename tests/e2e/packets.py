"""What is read of a packet: where it goes, and which name a DNS query asks for."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

IPV4, IPV6 = 0x0800, 0x86DD
# Enough for the headers and the longest name that a query can ask for.
SNAP = 512
_PROTOCOLS = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_WITH_PORTS = ("tcp", "udp", "sctp")
_DNS = 53
# Unreachable, redirect, time exceeded: RFC 792.
_ERRORS = (3, 5, 11)
# Docker's name server in every container; behind the rules of its namespace it has another port.
DOCKER_DNS = "127.0.0.11"

# Classic BPF: the kernel drops what nobody asked for before it fills a buffer. Kept is what opens
# a TCP connection, TCP to a name server, and everything that is not TCP. Fragments after the first
# have no ports, and the first one was seen.
_LD_W, _LD_H, _LD_B, _LD_H_IND, _LD_B_IND = 0x20, 0x28, 0x30, 0x48, 0x50
_LDX_MSH, _AND, _JEQ, _JSET, _RET = 0xB1, 0x54, 0x15, 0x45, 0x06
_ETHERTYPE = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL
_SYN_ACK, _SYN = 0x12, 0x02
_FILTER: tuple[tuple[int, int] | tuple[int, int, str, str] | str, ...] = (
    (_LD_H, _ETHERTYPE),
    (_JEQ, IPV4, "ipv4", ""),
    (_JEQ, IPV6, "ipv6", "drop"),
    "ipv4",
    (_LD_H, 6),
    (_JSET, 0x1FFF, "drop", ""),
    (_LD_B, 9),
    (_JEQ, 6, "", "keep"),
    (_LD_W, 16),
    (_JEQ, int(ipaddress.IPv4Address(DOCKER_DNS)), "keep", ""),
    (_LDX_MSH, 0),
    (_LD_H_IND, 2),
    (_JEQ, _DNS, "keep", ""),
    (_LD_B_IND, 13),
    (_AND, _SYN_ACK),
    (_JEQ, _SYN, "keep", "drop"),
    "ipv6",
    (_LD_B, 6),
    (_JEQ, 6, "", "keep"),
    (_LD_H, 42),
    (_JEQ, _DNS, "keep", ""),
    (_LD_B, 53),
    (_AND, _SYN_ACK),
    (_JEQ, _SYN, "keep", "drop"),
    "keep",
    (_RET, SNAP),
    "drop",
    (_RET, 0),
)


@dataclass(frozen=True)
class Packet:
    """One packet. `port` is 0 where the protocol has none; `question` is '' where none is asked."""

    source: str
    destination: str
    protocol: str
    port: int = 0
    question: str = ""


def program() -> tuple[int, bytes]:
    """Return the filter as the kernel takes it: how many instructions, and their bytes."""
    places: dict[str, int] = {}
    lines: list[tuple[int, int] | tuple[int, int, str, str]] = []
    for line in _FILTER:
        if isinstance(line, str):
            places[line] = len(lines)
        else:
            lines.append(line)
    code = b""
    for at, (op, value, *targets) in enumerate(lines):
        yes, no = (places[name] - at - 1 if name else 0 for name in targets or ("", ""))
        code += struct.pack("=HBBI", op, yes, no, value)
    return len(lines), code


def parse(data: bytes, ethertype: int) -> Packet | None:
    """Read a packet that begins with its IP header; None if it is not IP, or cut off."""
    try:
        if ethertype == IPV4:
            return _ipv4(data)
        return _ipv6(data) if ethertype == IPV6 else None
    except (struct.error, IndexError):
        return None


def _ipv4(data: bytes) -> Packet:
    source, destination = (str(ipaddress.IPv4Address(data[at : at + 4])) for at in (12, 16))
    return _payload(source, destination, data[9], data[(data[0] & 15) * 4 :])


def _ipv6(data: bytes) -> Packet:
    source, destination = (str(ipaddress.IPv6Address(data[at : at + 16])) for at in (8, 24))
    number, at = data[6], 40
    if number == 0:
        # Hop-by-hop options, in front of reports to multicast routers.
        number, at = data[40], 40 + (data[41] + 1) * 8
    return _payload(source, destination, number, data[at:])


def _payload(source: str, destination: str, number: int, data: bytes) -> Packet:
    protocol = _PROTOCOLS.get(number, str(number))
    if protocol == "icmp" and data[0] in _ERRORS:
        # It tells of a packet that could not go on: where that one wanted to is of interest.
        return _ipv4(data[8:])
    if protocol not in _WITH_PORTS:
        return Packet(source, destination, protocol)
    port: int = struct.unpack_from("!H", data, 2)[0]
    asks = port == _DNS or destination == DOCKER_DNS
    return Packet(source, destination, protocol, port, _question(data, protocol) if asks else "")


def _question(data: bytes, protocol: str) -> str:
    """Return the name that a DNS query asks for, in lower case and without the last dot."""
    # In TCP two bytes of length stand before a message; what opens or closes has none.
    message = data[8:] if protocol == "udp" else data[(data[12] >> 4) * 4 + 2 :]
    if len(message) < 12 or message[2] & 0x80 or struct.unpack_from("!H", message, 4)[0] != 1:
        return ""
    labels, at = [], 12
    while length := message[at]:
        labels.append(message[at + 1 : at + 1 + length].decode("ascii", "backslashreplace"))
        at += 1 + length
    return ".".join(labels).lower() or "."
