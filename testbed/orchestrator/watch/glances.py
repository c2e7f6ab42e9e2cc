"""What can be seen of a replay while it goes on, from what is at hand.

That is what its own thread has noted, the kernel's counters of the links' wires, and the counts that the link
process publishes in shared memory. No node and no process is asked, and nothing crosses a link for it.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from testbed.console import Glance, LinkGlance
from testbed.network.kernel.counters import Counters
from testbed.network.link import WanLink
from testbed.orchestrator.estimate import Ahead
from testbed.orchestrator.replay.going import Going
from testbed.orchestrator.session import Session
from testbed.scenario.topology import Direction

MOST_LINKS = 40
"""Links that are looked at: more have no room on a terminal."""
_ENOUGH = 5
"""Requests that are done, from which on their pace says how long the others take."""


def glances(session: Session, going: Going, ahead: Ahead) -> Callable[[], Glance]:
    """What looks at a replay that is about to begin.

    Args:
        going: how far the replay has come.
        ahead: how long it is expected to take, and the run after it.
    """
    scenario, trace, links = session.inputs.scenario, session.inputs.trace, session.network.links
    shown = links[:MOST_LINKS]
    before = {link.name: link.counters() for link in shown}
    moments_s = [request.at_s for request in trace]

    def look() -> Glance:
        now_s = 0.0 if math.isnan(going.start_s) else max(0.0, time.monotonic() - going.start_s)
        left_s = _left_s(scenario.replay.mode, moments_s, going, now_s, ahead.replay_s)
        sent = bisect_right(moments_s, now_s) if scenario.replay.mode == "open" else going.begun
        done = going.done
        return Glance(
            requests=len(trace),
            sent=max(sent, done),
            done=done,
            served={tier: going.served[tier] for tier in scenario.tier_names},
            errors=going.errors,
            thresholds=dict(going.thresholds),
            late_ms=going.late_ms / max(1, done),
            most_late_ms=going.most_late_ms,
            links=[_link(link, before[link.name]) for link in shown],
            link_count=len(links),
            left_s=left_s,
            run_left_s=left_s + ahead.after_s,
        )

    return look


def _left_s(mode: str, moments_s: Sequence[float], going: Going, now_s: float, expected_s: float) -> float:
    """Until the trace's last moment; in other modes at the pace until now, once that tells something."""
    if mode == "open":
        return max(0.0, moments_s[-1] - now_s)
    if going.done < _ENOUGH:
        return max(0.0, expected_s - now_s)
    return (len(moments_s) - going.done) * now_s / going.done


def _link(link: WanLink, before: dict[Direction, Counters]) -> LinkGlance:
    wire, counts = link.counters(), link.counts()
    return LinkGlance(
        link.name,
        wire["up"].bytes - before["up"].bytes,
        wire["down"].bytes - before["down"].bytes,
        counts["up"].waiting_frames,
        counts["down"].waiting_frames,
    )
