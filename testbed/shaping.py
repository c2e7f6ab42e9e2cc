"""A link's shape as commands of tc(8): bottleneck at the egress, way behind the ingress.

(DESIGN, "A WAN link".) A packet tap on the WAN interface sees egress frames after the bottleneck and ingress
frames before the way, and not again what the ifb gives back: what it sees is what was sent.
"""

from __future__ import annotations

import functools
import math
from typing import Literal

from testbed.errors import TestbedError
from testbed.host import in_user_mode_linux
from testbed.netns import HERE, in_new_namespace, run_in
from testbed.topology import FRAME_BYTES, Shape

Shaper = Literal["netem", "tbf"]
"""``tbf``: for kernels without netem; a rate with a burst of two frames, and no delay."""

TBF_BURST_FRAMES = 2
_SMALLEST_FRAME_BYTES = 60
_LEAST_WAY_FRAMES = 100_000
_IN_ORDER_RATE = "1tbit"
"""A way with jitter gets this rate: netem then never sends a frame before the one ahead of it."""
_UNLIMITED_BPS = 100 * 10**9
_LATE_TIMERS_S = (0.002, 0.010)
"""How late a timer may be without costing rate: on a real machine, in user-mode Linux (HZ is 100)."""


@functools.cache
def kernel_has_netem() -> bool:
    """Whether this kernel can delay and lose frames (``sch_netem``), found out by trying; needs root."""
    with in_new_namespace():
        try:
            run_in(HERE, ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "1"])
        except TestbedError as error:
            if "not installed" in str(error):
                raise
            return False
    return True


def require(shape: Shape, link: str, shaper: Shaper) -> None:
    """Refuse what cannot be emulated truly.

    Raises:
        TestbedError: the shape needs netem and the kernel has none, or contradicts itself.
    """
    if shaper == "tbf" and shape.needs_netem:
        raise TestbedError(
            f"link {link} asks for delay, jitter, loss, duplication or reordering, and this kernel has no "
            "sch_netem to give it; run the scenario in the user-mode Linux machine with `--vm always`"
        )
    if shape.delay_ms == 0 and (shape.jitter_ms > 0 or shape.reorder > 0):
        raise TestbedError(f"link {link} has jitter or reordering but no delay; give it a delay")


def bottleneck(interface: str, shape: Shape, shaper: Shaper) -> list[str]:
    """Rate and queue at the egress of ``interface``. Every value is named, so those that go back to 0 do."""
    device = f"qdisc replace dev {interface}"
    if shaper == "netem":
        return [f"{device} root handle 1: netem limit {shape.queue_frames} rate {shape.rate_bps or 0}bit"]
    if shape.rate_bps is None:
        return [f"{device} root handle 2: pfifo limit {shape.queue_frames}"]
    burst, limit = TBF_BURST_FRAMES * FRAME_BYTES, shape.queue_frames * FRAME_BYTES
    return [
        f"{device} root handle 1: tbf rate {shape.rate_bps}bit burst {burst} limit {limit}",
        # tbf's own queue counts bytes; ours counts frames, whatever their size.
        f"{device} parent 1:1 handle 10: pfifo limit {shape.queue_frames}",
    ]


def paced_bottleneck(interface: str, shape: Shape, shaper: Shaper) -> list[str]:
    """:func:`bottleneck` for a rate that changes: what waits in the queue feels the change too.

    netem decides when a frame leaves as it comes; after a change from 100 kbit/s to 20 Mbit/s a queue of 100
    frames would still take 12 s. htb decides as frames leave, and the way serialises what it lets go
    (:func:`way`), so that a single frame feels the rate as it does behind netem. The burst only makes up for
    timers that are late, and without a way that serialises it is two frames. :func:`paced_root` comes first.

    The queue is a netem's that delays nothing: unlike a pfifo it takes a frame off its sender's account, as a
    real link does. Else a sender on an older kernel would never have more than its socket's buffer in the
    queue, and none of it would ever be dropped.
    """
    device, rate_bps = f"dev {interface}", shape.rate_bps or _UNLIMITED_BPS
    burst, queue = FRAME_BYTES, f"pfifo limit {shape.queue_frames}"
    if shaper == "netem":
        allowed = paced_burst(shaper)
        burst = max(int(allowed["burst_bytes"]), math.ceil(rate_bps / 8000 * allowed["burst_ms"]))
        queue = f"netem limit {shape.queue_frames} rate {_IN_ORDER_RATE}"
    return [
        f"class replace {device} parent 3: classid 3:1 htb rate {rate_bps}bit ceil {rate_bps}bit "
        f"burst {burst} cburst {burst} quantum {FRAME_BYTES}",
        f"qdisc replace {device} parent 3:1 handle 30: {queue}",
    ]


def paced_burst(shaper: Shaper) -> dict[str, float]:
    """What a :func:`paced_bottleneck` lets go at once, on top of its queue: the larger of the two.

    So much later than after its queue's length does it begin to drop.
    """
    late_s = _LATE_TIMERS_S[in_user_mode_linux()] if shaper == "netem" else 0.0
    return {"burst_bytes": 2 * FRAME_BYTES, "burst_ms": late_s * 1000}


def paced_root(interface: str) -> str:
    """What a :func:`paced_bottleneck` hangs from; made once, for htb's root cannot be changed."""
    return f"qdisc replace dev {interface} root handle 3: htb default 1"


def way(ifb: str, shape: Shape, *, serialise: bool = False) -> list[str]:
    """Delay, jitter, loss, duplication, reordering at the egress of ``ifb``, with room for all in flight.

    ``serialise``: behind a :func:`paced_bottleneck` the way gives each frame the time that it takes to send.
    """
    delay = f"delay {_number(shape.delay_ms)}ms"
    if shape.jitter_ms:
        delay += f" {_number(shape.jitter_ms)}ms distribution normal"
    reorder = f" reorder {_percent(shape.reorder)}" if shape.reorder else ""
    rate = _IN_ORDER_RATE if shape.jitter_ms else "0bit"
    if serialise and shape.rate_bps is not None:
        rate = f"{shape.rate_bps}bit"
    return [
        f"qdisc replace dev {ifb} root handle 1: netem limit {_way_frames(shape)} {delay} "
        f"loss {_percent(shape.loss)} duplicate {_percent(shape.duplicate)}{reorder} rate {rate}"
    ]


def redirect(interface: str, ifb: str) -> list[str]:
    """Lead what arrives at ``interface`` through ``ifb``, which gives it back afterwards."""
    return [
        f"qdisc replace dev {interface} ingress",
        f"filter add dev {interface} ingress matchall action mirred egress redirect dev {ifb}",
    ]


def _way_frames(shape: Shape) -> int:
    in_flight_s = (shape.delay_ms + 6 * shape.jitter_ms) / 1000
    return max(_LEAST_WAY_FRAMES, int((shape.rate_bps or 0) * in_flight_s / 8 / _SMALLEST_FRAME_BYTES) + 1)


def _percent(probability: float) -> str:
    return f"{_number(probability * 100)}%"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
