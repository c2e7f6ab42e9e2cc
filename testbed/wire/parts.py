"""Bytes by cause: what accounting for a capture returns."""

from __future__ import annotations

from dataclasses import dataclass, fields

from testbed.scenario.topology import Direction


@dataclass(slots=True)
class BytesByCause:
    """The bytes that crossed one link in one direction, by cause: each byte has exactly one."""

    prompt_bytes: int = 0
    """UTF-8 length of the users' texts, once for each request."""
    answer_bytes: int = 0
    """UTF-8 length of the answers' texts, once for each request."""
    envelope_bytes: int = 0
    """The JSON around them, escapes and quotes included; bodies of any other kind."""
    instrumentation_bytes: int = 0
    """The ``recserve`` object with its key, and the X-Request-Id lines."""
    http_header_bytes: int = 0
    """Start lines, header lines, chunk framing."""
    packet_header_bytes: int = 0
    """Ethernet, IP and TCP headers of segments whose payload is new."""
    tcp_control_bytes: int = 0
    """Segments without payload: SYN, FIN, RST, bare ACKs, probes; repeats of them too."""
    retransmitted_bytes: int = 0
    """Payload that had crossed before, and the headers of segments that hold nothing else."""
    other_bytes: int = 0
    """What is no TCP over IPv4 (ARP and the like), payload that is no HTTP, texts that an application
    repeated, and background flows.
    """

    @property
    def accounted_bytes(self) -> int:
        """Sum of the bytes of all causes."""
        return sum(getattr(self, name) for name in BYTE_PARTS)


BYTE_PARTS = tuple(part.name for part in fields(BytesByCause))


@dataclass(slots=True)
class Parts(BytesByCause):
    """What crossed one link in one direction. All figures are bytes or frames.

    The bytes by cause sum to ``frame_bytes``, the four classes of frames to ``frames``.
    """

    frames: int = 0
    frame_bytes: int = 0
    """Ethernet header included; preamble, frame check sequence and gap are not."""
    ip_bytes: int = 0
    """Total lengths of the IP packets: what carriers bill."""

    retried_prompt_bytes: int = 0
    """Of ``other_bytes``: prompts that the application sent again under the same request id."""
    retried_answer_bytes: int = 0
    """Of ``other_bytes``: answers that came again under the same request id."""

    flow_bytes: int = 0
    """Of ``other_bytes``: frames of background flows, their control connections included."""
    flow_frames: int = 0
    """Of ``other_frames``."""

    data_frames: int = 0
    control_frames: int = 0
    retransmitted_frames: int = 0
    """Segments whose payload had crossed before, all of it."""
    other_frames: int = 0
    partly_retransmitted_frames: int = 0
    """Of ``data_frames``: those that repeat something beside what is new."""
    repeated_control_frames: int = 0
    """Of ``control_frames``: SYNs and FINs that had crossed before."""

    @property
    def accounted_frames(self) -> int:
        return self.data_frames + self.control_frames + self.retransmitted_frames + self.other_frames


@dataclass(slots=True)
class RequestBytes:
    """What one request put on a link."""

    prompt_bytes: int = 0
    answer_bytes: int = 0
    retried_prompt_bytes: int = 0
    retried_answer_bytes: int = 0
    prompts: int = 0
    """How often it was sent: 1, or more where the application repeated it."""
    answers: int = 0
    up_http_bytes: int = 0
    """Heads, framing and bodies of its messages that went up, repeats included; no TCP or packet headers."""
    down_http_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StreamTotals:
    """One direction of one TCP connection."""

    direction: Direction
    source: tuple[str, int]
    destination: tuple[str, int]
    frames: int
    payload_bytes: int
    """Repeats included."""
    retransmitted_frames: int


@dataclass(frozen=True)
class CaptureAccount:
    """Everything that a pcap says about its link."""

    up: Parts
    down: Parts
    requests: dict[str, RequestBytes]
    """By request id; under ``""`` what came without one."""
    streams: tuple[StreamTotals, ...]
    """By connection, in order of their first frames."""
    findings: tuple[str, ...]
    """What a WAN link should not carry, in sentences; doubts included."""
    doubts: tuple[str, ...]
    """Findings by which the capture, or these figures, may not be what crossed the wire."""

    def parts(self, direction: Direction) -> Parts:
        return self.up if direction == "up" else self.down


class Notes:
    """Collects findings of the same kind into one line each; bounded."""

    KINDS = 100

    def __init__(self) -> None:
        self._notes: dict[str, tuple[int, int, bool]] = {}

    def add(self, text: str, size_bytes: int = 0, *, count: int = 1, doubt: bool = False) -> None:
        if text not in self._notes and len(self._notes) >= self.KINDS and not doubt:
            text = "further findings of other kinds"
        had, had_bytes, doubted = self._notes.get(text, (0, 0, False))
        self._notes[text] = (had + count, had_bytes + size_bytes, doubted or doubt)

    def lines(self, *, doubts_only: bool = False) -> tuple[str, ...]:
        return tuple(
            f"{text}: {count}" + (f" ({size_bytes} bytes)" if size_bytes else "")
            for text, (count, size_bytes, doubt) in self._notes.items()
            if doubt or not doubts_only
        )
