"""Measures WAN links, before and after a replay, and compares them with the scenario.

Rates are measured by UDP at 1.2 times the configured one, by the kernel's stamps on the wire behind the
bottleneck; times by pings and by one-way datagrams (both ends have the same clock); loss frame by frame,
since the seed decides which ones are lost. Each figure is measured on each link, on as many at once as the
link process carries.
"""

from __future__ import annotations

from collections.abc import Sequence

from testbed.host.processes.reporting import Report, silent
from testbed.network.link_process.client import LinkProcess
from testbed.network.measure.loss import measure_loss
from testbed.network.measure.paths import Effort, LinkPath
from testbed.network.measure.rate import measure_rates, rate_groups, unlimited
from testbed.network.measure.times import measure_times
from testbed.scenario.reports import Finding


def measure(
    paths: Sequence[LinkPath],
    process: LinkProcess,
    seed: int,
    method: str,
    effort: Effort | None = None,
    report: Report = silent,
) -> list[Finding]:
    """Measure every link; when this returns the links are empty and quiet.

    Three links take about 4 s, a hundred about 20 s; slow ones up to 20 s more, to show enough frames.
    Nothing else may be sent meanwhile.

    Args:
        process: the link process; a method begins in it, so that it is known which datagrams are lost.
        seed, method: by which it draws them.
    """
    effort = effort or Effort()
    findings = []
    report("round trips, delay and jitter")
    findings += measure_times(paths, effort)
    report("loss")
    findings += measure_loss(paths, process, seed, method, effort)
    for group in rate_groups(paths, effort.rate_budget_bps, effort.rate_seconds):
        report("rate of " + ", ".join(f"{path.name} {direction}" for path, direction in group))
        findings += measure_rates(group, effort.rate_seconds)
    findings += unlimited(paths)
    order = {path.name: index for index, path in enumerate(paths)}
    return sorted(findings, key=lambda finding: order[finding.link])
