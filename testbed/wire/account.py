"""Accounts for every byte of a WAN link's capture by cause, in each direction.

Frames → TCP streams (``tcp_stream``) → HTTP messages (``http_stream``) → texts (``exchange``, ``texts``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, inet_ntop

from testbed.scenario.topology import Direction, Link, Topology
from testbed.wire.exchange import Conversation, HttpSide, Ledger
from testbed.wire.frame import ETHERNET_BYTES, TCP, ip_bytes, parse_segment, ports
from testbed.wire.parts import CaptureAccount, Notes, Parts, RequestBytes, StreamTotals
from testbed.wire.pcap import Progress, read_frames
from testbed.wire.tcp_stream import TcpHalf

__all__ = ["CaptureAccount", "LinkEnds", "Parts", "RequestBytes", "StreamTotals", "account", "link_ends"]

_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_SEQ_MASK = 0xFFFFFFFF

# Of a frame whose IPv4 header has no options (nearly all): source MAC, EtherType, version and header length,
# total length, fragment, protocol, addresses and ports, seq, ack, data offset, flags.
_HEADERS = struct.Struct("!6x6sHBxH2xHxB2x12sIIBB")
_PLAIN_BYTES = ETHERNET_BYTES + 20 + 20


@dataclass(frozen=True)
class LinkEnds:
    """Who is at which end of a link, by MAC address (``02:77:00:00:00:01``).

    ``below`` and ``above`` are further stations whose frames cross the link from the child's or the parent's
    side. ``flow_ports`` are TCP and UDP ports of background flows: what has one is *other*, headers included.
    """

    child_mac: str
    parent_mac: str
    mtu: int = 1500
    below: frozenset[str] = frozenset()
    above: frozenset[str] = frozenset()
    flow_ports: frozenset[int] = frozenset()

    def stations(self) -> dict[bytes, Direction]:
        """The direction in which each station sends."""
        stations: dict[bytes, Direction] = {_mac(address): "up" for address in (self.child_mac, *self.below)}
        stations.update({_mac(address): "down" for address in (self.parent_mac, *self.above)})
        return stations


def link_ends(topology: Topology, link: Link, flow_ports: frozenset[int] = frozenset()) -> LinkEnds:
    """Who is at which end of a link of a topology: several where it is shared, or a tier may be skipped."""
    below, above = (
        {node.mac for node in nodes} for nodes in (topology.below(link.children), topology.above(link))
    )
    child_mac, parent_mac = (topology.node(name).mac for name in (link.child, link.parent))
    return LinkEnds(
        child_mac,
        parent_mac,
        below=frozenset(below - {child_mac}),
        above=frozenset(above - {parent_mac}),
        flow_ports=flow_ports,
    )


def account(pcap: Path, ends: LinkEnds, progress: Progress | None = None) -> CaptureAccount:
    """Account for every byte of a capture that holds both directions of a link.

    Memory is bounded by the connections, the requests and what is in flight, not by the file. ``progress`` is
    called with the bytes of the file that have been read.

    Raises:
        TestbedError: the file is no Ethernet pcap, or is truncated.
    """
    accountant = Accountant(ends)
    accountant.run(pcap, progress)
    return accountant.result()


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


@dataclass(slots=True)
class Lane:
    """One direction of the link."""

    direction: Direction
    parts: Parts = field(default_factory=Parts)


class Half(TcpHalf):
    """A stream with its lane, its peer's stream, its addresses, and its side of the conversation.

    It counts the frames that :meth:`Accountant.run` takes at once: bare acknowledgements, and payload in
    order. Its lane learns of them when it is finished.
    """

    __slots__ = (
        "bare_bytes",
        "bare_frames",
        "conversation",
        "flow",
        "in_order_bytes",
        "in_order_frames",
        "in_order_payload_bytes",
        "lane",
        "peer",
        "side",
    )

    def __init__(self, flow: bytes, lane: Lane, conversation: Conversation, side: HttpSide) -> None:
        self.side = side
        super().__init__(side)
        self.flow, self.lane, self.conversation = flow, lane, conversation
        self.peer: Half = self
        self.bare_frames = self.bare_bytes = 0
        self.in_order_frames = self.in_order_bytes = self.in_order_payload_bytes = 0

    def settle(self) -> None:
        """Add the frames that were taken at once to the lane's; to be called once."""
        parts, frames = self.lane.parts, self.bare_frames + self.in_order_frames
        frame_bytes = self.bare_bytes + self.in_order_bytes
        self.frames += frames
        self.payload_bytes += self.in_order_payload_bytes
        parts.frames += frames
        parts.frame_bytes += frame_bytes
        parts.ip_bytes += frame_bytes - ETHERNET_BYTES * frames
        parts.control_frames += self.bare_frames
        parts.tcp_control_bytes += self.bare_bytes
        parts.data_frames += self.in_order_frames
        parts.packet_header_bytes += self.in_order_bytes - self.in_order_payload_bytes


class Accountant:
    """Takes a capture's frames one after the other; :func:`account` says what comes of it."""

    def __init__(self, ends: LinkEnds) -> None:
        self._up, self._down = Lane("up"), Lane("down")
        self._lanes = {
            mac: self._up if direction == "up" else self._down for mac, direction in ends.stations().items()
        }
        self._largest_frame = ends.mtu + ETHERNET_BYTES
        self._flow_ports = ends.flow_ports
        self._halves: dict[bytes, Half] = {}
        self._streams: list[Half] = []
        self._ledger = Ledger()
        self._notes: Notes = self._ledger.notes

    def run(self, pcap: Path, progress: Progress | None) -> None:
        unpack, lanes, halves, largest = _HEADERS.unpack_from, self._lanes, self._halves, self._largest_frame
        for buffer, at, length in read_frames(pcap, progress):
            if length < _PLAIN_BYTES:
                self._rare(buffer, at, length)
                continue
            source, kind, version, total, fragment, protocol, flow, seq, ack, offset, flags = unpack(
                buffer, at
            )
            if kind != 0x0800 or version != 0x45 or protocol != TCP or fragment & 0x3FFF or length > largest:
                self._rare(buffer, at, length)
                continue
            size = total - 20 - (offset >> 4 << 2)
            half = halves.get(flow)
            if (
                half is None
                or half.lane is not lanes.get(source)
                or size < 0
                or offset < 0x50  # a TCP header shorter than itself
                or total != length - ETHERNET_BYTES  # padded, or cut
                or flags & 7
            ):
                self._rare(buffer, at, length)
                continue
            # From here on what nearly every frame is: a segment of a known connection, without SYN, FIN or
            # RST.
            half.ack = ack
            end = at + length
            if not size:
                half.bare_frames += 1
                half.bare_bytes += length
            elif half.in_order and seq == half.next_seq:
                half.in_order_frames += 1
                half.in_order_bytes += length
                half.in_order_payload_bytes += size
                half.position += size
                half.next_seq = (seq + size) & _SEQ_MASK
                half.feed(buffer[end - size : end])
            else:
                parts = half.lane.parts
                parts.frames += 1
                parts.frame_bytes += length
                parts.ip_bytes += total
                half.frames += 1
                self._payload(half, length, seq, buffer[end - size : end])

    def _payload(self, half: Half, length: int, seq: int, data: bytes) -> None:
        parts, size = half.lane.parts, len(data)
        half.payload_bytes += size
        new = half.segment(seq, data, half.peer.ack)
        if new:
            parts.data_frames += 1
            parts.packet_header_bytes += length - size
            parts.retransmitted_bytes += size - new
            parts.partly_retransmitted_frames += new < size
        else:
            half.retransmitted_frames += 1
            parts.retransmitted_frames += 1
            parts.retransmitted_bytes += length

    def _rare(self, buffer: bytes, at: int, length: int) -> None:
        """Any frame at all: short ones, other protocols, IP options, connections that begin or end."""
        frame = buffer[at : at + length]
        lane = self._lane(frame)
        lane.parts.frames += 1
        lane.parts.frame_bytes += length
        if length > self._largest_frame:
            self._notes.add("frames larger than the MTU allows, so an offload is on", length, doubt=True)
        lane.parts.ip_bytes += ip_bytes(frame)
        if self._flow_ports and not self._flow_ports.isdisjoint(ports(frame)):
            lane.parts.other_frames += 1
            lane.parts.other_bytes += length
            lane.parts.flow_frames += 1
            lane.parts.flow_bytes += length
            return
        what = self._tcp(frame, lane)
        if what:
            lane.parts.other_frames += 1
            lane.parts.other_bytes += length
            self._notes.add(f"{what} frames, counted as other", length)

    def _lane(self, frame: bytes) -> Lane:
        source, destination = frame[6:12], frame[:6]
        lane = self._lanes.get(source)
        if lane is None and destination in self._lanes:
            lane = self._down if self._lanes[destination] is self._up else self._up
        if lane is None:
            lane = self._up
            self._notes.add("frames of neither end's, taken to go up", len(frame), doubt=True)
        return lane

    def _tcp(self, frame: bytes, lane: Lane) -> str:
        """Account for a TCP segment; return what else the frame is, empty if it is one."""
        segment = parse_segment(frame)
        if isinstance(segment, str):
            return segment
        half = self._half(segment.flow, lane, segment.seq, segment.flags)
        if half.lane is not lane:
            return "TCP that changed its direction"
        half.frames += 1
        if segment.flags & _ACK:
            half.ack = segment.ack
        self._segment(half, len(frame), segment.seq, segment.flags, segment.payload)
        return ""

    def _segment(self, half: Half, length: int, seq: int, flags: int, data: bytes) -> None:
        parts = half.lane.parts
        repeated = False
        if flags & _SYN:
            repeated = half.isn is not None
            half.conversation.from_the_start = True
            half.open(seq)
            seq = (seq + 1) & _SEQ_MASK
        if flags & _FIN:
            end = (seq + len(data)) & _SEQ_MASK
            repeated = repeated or half.fin_seq == end
            half.fin_seq = end
        if data and not flags & _RST:
            self._payload(half, length, seq, data)
        else:  # what a RST carries is no part of the stream (RFC 9293, section 3.5.3)
            half.payload_bytes += len(data)
            parts.control_frames += 1
            parts.tcp_control_bytes += length
            parts.repeated_control_frames += repeated

    def _half(self, flow: bytes, lane: Lane, seq: int, flags: int) -> Half:
        """The stream of a segment.

        A SYN with another initial sequence number than before begins a new stream on the same ports.
        """
        half = self._halves.get(flow)
        if half is not None and flags & _SYN and half.begins_anew(seq):
            self._finish(half)
            half = None
        if half is None:
            back = flow[4:8] + flow[:4] + flow[10:12] + flow[8:10]
            conversation = Conversation(self._ledger)
            half = self._new_half(flow, lane, conversation)
            half.peer = self._new_half(back, self._down if lane is self._up else self._up, conversation)
            half.peer.peer = half
            self._halves[flow], self._halves[back] = half, half.peer
            self._streams += (half, half.peer)
        return half

    def _new_half(self, flow: bytes, lane: Lane, conversation: Conversation) -> Half:
        return Half(flow, lane, conversation, HttpSide(conversation, lane.parts, lane.direction))

    def _finish(self, half: Half) -> None:
        """End a connection: the capture ends, or its ports are used again. Does nothing the second time."""
        if half.conversation.closed:
            return
        for stream in (half, half.peer):
            stream.settle()
            missing = stream.missing_before(stream.peer.ack) if stream.peer.ack is not None else 0
            stream.finish()
            stream.side.close()
            if stream.early_bytes:
                self._notes.add("repeats of bytes from before the capture", stream.early_bytes)
            if stream.gap_bytes:
                self._notes.add("holes in TCP streams that were never filled", stream.gap_bytes)
            if missing:
                self._notes.add(
                    "TCP payload that its receiver acknowledged and the capture lacks", missing, doubt=True
                )
        half.conversation.close()

    def result(self) -> CaptureAccount:
        for half in self._halves.values():
            self._finish(half)
        return CaptureAccount(
            up=self._up.parts,
            down=self._down.parts,
            requests=self._ledger.requests,
            streams=tuple(_totals(half) for half in self._streams if half.frames),
            findings=self._notes.lines(),
            doubts=self._notes.lines(doubts_only=True),
        )


def _totals(half: Half) -> StreamTotals:
    source, destination = half.flow[:4], half.flow[4:8]
    ports = int.from_bytes(half.flow[8:10], "big"), int.from_bytes(half.flow[10:12], "big")
    return StreamTotals(
        direction=half.lane.direction,
        source=(inet_ntop(AF_INET, source), ports[0]),
        destination=(inet_ntop(AF_INET, destination), ports[1]),
        frames=half.frames,
        payload_bytes=half.payload_bytes,
        retransmitted_frames=half.retransmitted_frames,
    )
