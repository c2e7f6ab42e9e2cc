"""From where on what was observed speaks against a run's latencies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """From where on the emulator itself shows in latencies; shares in [0, 1].

    A probe may take ``probe_slack_ms`` longer than the link, or ``probe_slack_share`` of its round trip if
    that is more: so long may a process that becomes ready wait for a CPU. A container may wait for a CPU for
    ``waited_share`` of the time that it ran or waited, and in any case for ``waited_ms`` a request and
    ``waited_least_s`` in all, for beside short work the few waits of an idle host weigh much. From
    ``still_ms`` on, once is enough: a tier, the links or the orchestrator stood still. That CPUs are
    ``contended`` says little by itself: with 5 to 20 % of samples so, latencies over the same trace differed
    by less than 2 ms at p50, 3 ms at p95 and 3 % at p99, and did not grow with that share.
    """

    lateness_p99_ms: float = 10.0
    unexplained_p99_ms: float = 10.0
    explained_share: float = 0.99
    contended: float = 0.25
    busy: float = 0.95
    steal: float = 0.02
    probe_slack_ms: float = 5.0
    probe_slack_share: float = 0.10
    probe_least_answers: int = 10
    event_late_ms: float = 50.0
    link_late_p99_ms: float = 1.0
    link_busy: float = 0.80
    waited_share: float = 0.10
    waited_ms: float = 10.0
    waited_least_s: float = 0.2
    still_ms: float = 250.0


def limits_of(schema: int) -> Limits:
    """By which the verdicts of this schema of ``fidelity.json`` were given, from its third on."""
    return Limits() if schema >= 5 else Limits(contended=0.10)
