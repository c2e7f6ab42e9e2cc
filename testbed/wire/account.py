"""Accounts for every byte of a WAN link's capture by cause, in each direction.

Frames → TCP streams (``tcp_stream``) → HTTP messages (``http_stream``) → texts (``exchange``, ``texts``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from testbed.scenario.topology import Direction, Link, Topology
from testbed.wire.exchange import Conversation, HttpSide, Ledger
from testbed.wire.frame import ETHERNET_BYTES, TCP, ip_bytes, parse_segment, ports
from testbed.wire.parts import CaptureAccount, Notes, Parts, RequestBytes
from testbed.wire.pcap import Progress, read_frames
from testbed.wire.tcp_stream import TcpHalf

__all__ = ["CaptureAccount", "LinkEnds", "Parts", "RequestBytes", "account", "link_ends"]

_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_SEQ_MASK = 0xFFFFFFFF

# Of a frame whose IPv4 header has no options (nearly all): source MAC, EtherType, version and header length,
# total length, fragment, protocol, addresses and ports, seq, ack, data offset, flags.
_HEADERS = struct.Struct("!6x6sHBxH2xHxB2x12sIIBB")
_PLAIN_BYTES = ETHERNET_BYTES + 20 + 20


@dataclass(frozen=True)
class LinkEnds:
    """Who is at which end of a link, by MAC address (``02:77:00:00:00:01``).

    ``below`` are further stations whose frames cross the link from the child's side. ``flow_ports`` are TCP
    and UDP ports of background flows: what has one is *other*, headers included.
    """

    child_mac: str
    parent_mac: str
    mtu: int = 1500
    below: frozenset[str] = frozenset()
    flow_ports: frozenset[int] = frozenset()


def link_ends(topology: Topology, link: Link, flow_ports: frozenset[int] = frozenset()) -> LinkEnds:
    """Who is at which end of a link of a topology; below a shared one there are several."""
    child_mac, *siblings = (topology.node(name).mac for name in link.children)
    return LinkEnds(
        child_mac, topology.node(link.parent).mac, below=frozenset(siblings), flow_ports=flow_ports
    )


def account(pcap: Path, ends: LinkEnds, progress: Progress | None = None) -> CaptureAccount:
    """Account for every byte of a capture that holds both directions of a link.

    Memory is bounded by the connections, the requests and what is in flight, not by the file. ``progress`` is
    called with the bytes of the file that have been read.

    Raises:
        TestbedError: the file is no Ethernet pcap, or is truncated.
    """
    accountant = _Accountant(ends)
    accountant.run(pcap, progress)
    return accountant.result()


def _mac(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))


class _Half(TcpHalf):
    """A stream with its direction's parts, its peer's stream, and the sides of its conversation.

    It counts the frames that :meth:`_Accountant.run` takes at once: bare acknowledgements, and payload in
    order. The parts learn of them when it is finished.
    """

    __slots__ = (
        "bare_bytes",
        "bare_frames",
        "conversation",
        "in_order_bytes",
        "in_order_frames",
        "in_order_payload_bytes",
        "parts",
        "peer",
        "side",
    )

    def __init__(self, parts: Parts, direction: Direction, conversation: Conversation) -> None:
        self.side = HttpSide(conversation, parts, direction)
        super().__init__(self.side)
        self.parts, self.conversation = parts, conversation
        self.peer: _Half = self
        self.bare_frames = self.bare_bytes = 0
        self.in_order_frames = self.in_order_bytes = self.in_order_payload_bytes = 0

    def settle(self) -> None:
        """Add the frames that were taken at once to the parts; to be called once."""
        parts, frames = self.parts, self.bare_frames + self.in_order_frames
        frame_bytes = self.bare_bytes + self.in_order_bytes
        parts.frames += frames
        parts.frame_bytes += frame_bytes
        parts.ip_bytes += frame_bytes - ETHERNET_BYTES * frames
        parts.control_frames += self.bare_frames
        parts.tcp_control_bytes += self.bare_bytes
        parts.data_frames += self.in_order_frames
        parts.packet_header_bytes += self.in_order_bytes - self.in_order_payload_bytes


class _Accountant:
    def __init__(self, ends: LinkEnds) -> None:
        self._up, self._down = Parts(), Parts()
        self._senders = {_mac(address): self._up for address in (ends.child_mac, *ends.below)}
        self._senders[_mac(ends.parent_mac)] = self._down
        self._largest_frame = ends.mtu + ETHERNET_BYTES
        self._flow_ports = ends.flow_ports
        self._halves: dict[bytes, _Half] = {}
        self._ledger = Ledger()
        self._notes: Notes = self._ledger.notes

    def run(self, pcap: Path, progress: Progress | None) -> None:
        unpack, senders = _HEADERS.unpack_from, self._senders
        halves, largest = self._halves, self._largest_frame
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
                or half.parts is not senders.get(source)
                or size < 0
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
                half.parts.frames += 1
                half.parts.frame_bytes += length
                half.parts.ip_bytes += total
                self._payload(half, length, seq, buffer[end - size : end])

    def _payload(self, half: _Half, length: int, seq: int, data: bytes) -> None:
        parts, size = half.parts, len(data)
        new = half.segment(seq, data, half.peer.ack)
        if new:
            parts.data_frames += 1
            parts.packet_header_bytes += length - size
            parts.retransmitted_bytes += size - new
            parts.partly_retransmitted_frames += new < size
        else:
            parts.retransmitted_frames += 1
            parts.retransmitted_bytes += length

    def _rare(self, buffer: bytes, at: int, length: int) -> None:
        """Any frame at all: short ones, other protocols, IP options, connections that begin or end."""
        frame = buffer[at : at + length]
        parts = self._parts_of(frame)
        parts.frames += 1
        parts.frame_bytes += length
        if length > self._largest_frame:
            self._notes.add("frames larger than the MTU allows, so an offload is on", length, doubt=True)
        parts.ip_bytes += ip_bytes(frame)
        if self._flow_ports and not self._flow_ports.isdisjoint(ports(frame)):
            parts.flow_frames += 1
            parts.flow_bytes += length
            what = "flow"
        elif what := self._tcp(frame, parts):
            self._notes.add(f"{what} frames, counted as other", length)
        if what:
            parts.other_frames += 1
            parts.other_bytes += length

    def _parts_of(self, frame: bytes) -> Parts:
        """The parts of a frame's direction, by its sender, or else by its receiver."""
        source, destination = frame[6:12], frame[:6]
        if source in self._senders:
            return self._senders[source]
        if destination in self._senders:
            return self._opposite(self._senders[destination])
        self._notes.add("frames of neither end's, taken to go up", len(frame), doubt=True)
        return self._up

    def _opposite(self, parts: Parts) -> Parts:
        return self._down if parts is self._up else self._up

    def _tcp(self, frame: bytes, parts: Parts) -> str:
        """Account for a TCP segment; return what else the frame is, empty if it is one."""
        segment = parse_segment(frame)
        if isinstance(segment, str):
            return segment
        half = self._half(segment.flow, parts, segment.seq, segment.flags)
        if half.parts is not parts:
            return "TCP that changed its direction"
        if segment.flags & _ACK:
            half.ack = segment.ack
        self._segment(half, len(frame), segment.seq, segment.flags, segment.payload)
        return ""

    def _segment(self, half: _Half, length: int, seq: int, flags: int, data: bytes) -> None:
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
            half.parts.control_frames += 1
            half.parts.tcp_control_bytes += length
            half.parts.repeated_control_frames += repeated

    def _half(self, flow: bytes, parts: Parts, seq: int, flags: int) -> _Half:
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
            is_up = parts is self._up
            half = _Half(parts, "up" if is_up else "down", conversation)
            half.peer = _Half(self._opposite(parts), "down" if is_up else "up", conversation)
            half.peer.peer = half
            self._halves[flow], self._halves[back] = half, half.peer
        return half

    def _finish(self, half: _Half) -> None:
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
            up=self._up,
            down=self._down,
            requests=dict(self._ledger.requests),
            findings=self._notes.lines(),
            doubts=self._notes.lines(doubts_only=True),
        )
