"""How long TCP takes for a transfer that slow start carries, in closed form.

The model, for a connection over one link with nothing else on it and no loss:

- The handshake takes one round trip of the SYN's frames; data follow at once.
- The window is 10 segments in round 0 (RFC 6928) and doubles each round: the window grows by what is
  acknowledged (RFC 3465, L without limit, as Linux has it), so that delayed acknowledgements (RFC 1122) do
  not slow its growth. They delay a round's *first* acknowledgement by one segment's serialisation: from the
  receiver's 17th segment on it comes with the second segment (Linux acknowledges the first 16 at once).
- A round lasts from its first segment's start at the bottleneck until its first acknowledgement is back.
- Once a window takes longer to serialise than a round lasts, the bottleneck never idles again, and the rest
  of the transfer takes its serialisation. Nothing is lost as long as the queue holds what is beyond the
  bandwidth-delay product.
- HyStart (Ha and Rhee, 2011), by which Linux's CUBIC may leave slow start before a loss, ends it when the
  acknowledgements of a round are spread over half a round trip: then more than a bandwidth-delay product is
  let out, the pipe is full, and nothing is lost in time. So it has no term here.
"""

from __future__ import annotations

import math

from testbed.scenario.expected import one_way_ms, round_trip_ms, serialisation_ms
from testbed.scenario.topology import FRAME_BYTES, Shape

HEADERS_BYTES = 14 + 20 + 32
"""Ethernet, IPv4, and TCP with its timestamp option (RFC 7323)."""
SEGMENT_BYTES = FRAME_BYTES - HEADERS_BYTES
SYN_FRAME_BYTES = 74
INITIAL_WINDOW = 10
QUICK_ACKNOWLEDGEMENTS = 16
"""Linux's TCP_MAX_QUICKACKS: so many of a connection's first segments are acknowledged one by one."""


def rounds(segments: int, initial_window: int = INITIAL_WINDOW) -> list[int]:
    """Segments sent in each round of slow start, the window doubling: 46 go as 10, 20, 16.

    Raises:
        ValueError: no segment, or a window without one.
    """
    if segments < 1 or initial_window < 1:
        raise ValueError("a transfer and a window have one segment at least")
    sent, window = [], initial_window
    while segments > 0:
        sent.append(min(window, segments))
        segments -= window
        window *= 2
    return sent


def transfer_ms(size_bytes: int, up: Shape, down: Shape, initial_window: int = INITIAL_WINDOW) -> float:
    """From the call to connect(2) at the lower end until the upper end has the last of ``size_bytes``.

    Raises:
        ValueError: nothing to transfer.
    """
    segments = math.ceil(size_bytes / SEGMENT_BYTES)
    frame_ms = serialisation_ms(FRAME_BYTES, up.rate_bps)
    last_ms = serialisation_ms(HEADERS_BYTES + size_bytes - (segments - 1) * SEGMENT_BYTES, up.rate_bps)
    started_ms, sent, window = round_trip_ms(up, down, SYN_FRAME_BYTES), 0, initial_window
    for count in rounds(segments, initial_window)[:-1]:
        first_acknowledged = 1 if sent < QUICK_ACKNOWLEDGEMENTS else 2
        round_ms = up.delay_ms + first_acknowledged * frame_ms + one_way_ms(down, HEADERS_BYTES)
        if window * frame_ms > round_ms:
            break
        started_ms += round_ms
        sent += count
        window *= 2
    return started_ms + (segments - sent - 1) * frame_ms + last_ms + up.delay_ms
