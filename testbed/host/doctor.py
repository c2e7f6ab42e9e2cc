"""``testbed doctor``: what this host has, what it lacks and how to get it, and whether scenarios run here."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from testbed.host.capabilities import Capability, capabilities
from testbed.host.facts import cpu_model, distribution, usable_cpus, virtualisation
from testbed.host.kernel import PARTS

INDISPENSABLE = (
    *PARTS,
    "root",
    "Docker engine",
    "Python packages",
    "ip",
    "mnexec",
    "tcpdump",
    "cgroups",
)


def doctor(console: Console | None = None, *, as_json: bool = False) -> int:
    """Print table and verdict, or both as JSON; the exit status is 0 if scenarios can be run here."""
    out = console or Console()
    needs = capabilities()
    runs, sentence = verdict(needs)
    if as_json:
        report = {"runs": runs, "verdict": sentence, "capabilities": [asdict(need) for need in needs]}
        out.print(json.dumps(report, indent=2), highlight=False, markup=False, soft_wrap=True)
    else:
        out.print(table(needs))
        out.print(sentence, style="bold green" if runs else "bold red", highlight=False, markup=False)
    return 0 if runs else 1


def table(needs: Sequence[Capability]) -> Table:
    """One row for each need, with a mark that says whether the host has it."""
    cpus = f"{usable_cpus()} × {cpu_model()} ({virtualisation()})"
    title = f"{distribution()['name']}, kernel {platform.release()}, {cpus}"
    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in ("", "what", "needed for", "found"):
        shown.add_column(column, overflow="fold")
    for capability in needs:
        missing = "[red]✗[/]" if capability.name in INDISPENSABLE else "[yellow]–[/]"
        mark = "[green]✓[/]" if capability.ok else missing
        detail = escape(capability.detail)
        if capability.mend:
            detail += f"\n[bold]mend:[/] {escape(capability.mend)}"
        shown.add_row(mark, escape(capability.name), escape(capability.needed_for), detail)
    return shown


def verdict(needs: Sequence[Capability]) -> tuple[bool, str]:
    """Whether scenarios can be run here, and a sentence that says so or what is missing."""
    available = {capability.name for capability in needs if capability.ok}
    lacking = [name for name in INDISPENSABLE if name not in available]
    if lacking:
        return False, f"Nothing runs here yet, for lack of: {', '.join(lacking)}."
    return True, "This host runs every scenario."
