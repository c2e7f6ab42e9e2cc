"""Parses any Ethernet frame at all, IP options, padding and damage included; ``account`` has a faster way."""

from __future__ import annotations

import struct
from typing import NamedTuple

ETHERNET_BYTES = 14
TCP = 6
UDP = 17

_IPV4_TYPE, _IPV6_TYPE = 0x0800, 0x86DD
_IPV4 = struct.Struct(
    "!BxH2xHxB2x8s"
)  # version and header length, total length, fragment, protocol, addresses
_TCP = struct.Struct("!4sIIBB")  # ports, sequence number, acknowledgement, data offset, flags
_LENGTHS_END = 0x600  # below, the type field is a length (IEEE 802.3, 3.2.6)

_ETHERTYPES = {0x0806: "ARP", _IPV6_TYPE: "IPv6", 0x8100: "VLAN-tagged", 0x88CC: "LLDP"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", UDP: "UDP", 132: "SCTP"}


class Segment(NamedTuple):
    """A TCP segment; ``flow`` is its addresses and ports, source before target, as on the wire."""

    flow: bytes
    seq: int
    ack: int
    flags: int
    payload: bytes


def parse_segment(frame: bytes) -> Segment | str:
    """The TCP segment over IPv4 in a frame (RFC 791, RFC 9293), or the kind of frame that it is instead."""
    if len(frame) < ETHERNET_BYTES:
        return "malformed"
    kind = int.from_bytes(frame[12:14], "big")
    if kind != _IPV4_TYPE:
        return _ETHERTYPES.get(kind, f"EtherType 0x{kind:04x}" if kind >= _LENGTHS_END else "LLC")
    if len(frame) < ETHERNET_BYTES + 20:
        return "malformed"
    version, total, fragment, protocol, addresses = _IPV4.unpack_from(frame, ETHERNET_BYTES)
    header = (version & 15) << 2
    if version >> 4 != 4 or header < 20 or total < header or total > len(frame) - ETHERNET_BYTES:
        return "malformed"
    if protocol != TCP:
        return _PROTOCOLS.get(protocol, f"IP protocol {protocol}")
    if fragment & 0x3FFF:
        return "fragmented TCP"
    if total < header + 20:
        return "malformed"
    start = ETHERNET_BYTES + header
    ports, seq, ack, offset, flags = _TCP.unpack_from(frame, start)
    payload = start + (offset >> 4 << 2)
    if payload < start + 20 or payload > ETHERNET_BYTES + total:
        return "malformed"
    return Segment(addresses + ports, seq, ack, flags, frame[payload : ETHERNET_BYTES + total])


def ports(frame: bytes) -> tuple[int, ...]:
    """Source and target port of a whole TCP or UDP packet over IPv4; empty for any other frame."""
    if len(frame) < ETHERNET_BYTES + 24 or frame[12:14] != b"\x08\x00":
        return ()
    version, _, fragment, protocol, _ = _IPV4.unpack_from(frame, ETHERNET_BYTES)
    start = ETHERNET_BYTES + ((version & 15) << 2)
    if protocol not in (TCP, UDP) or fragment & 0x3FFF or len(frame) < start + 4:
        return ()
    return struct.unpack_from("!HH", frame, start)


def ip_bytes(frame: bytes) -> int:
    """Length of the IP packet in the frame; 0 if it holds none."""
    kind = int.from_bytes(frame[12:14], "big")
    if kind == _IPV4_TYPE and len(frame) >= ETHERNET_BYTES + 20:
        return min(int.from_bytes(frame[16:18], "big"), len(frame) - ETHERNET_BYTES)
    if kind == _IPV6_TYPE and len(frame) >= ETHERNET_BYTES + 40:
        return min(40 + int.from_bytes(frame[18:20], "big"), len(frame) - ETHERNET_BYTES)
    return 0
