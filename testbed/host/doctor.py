"""``testbed doctor``: what this host can and cannot do, each lack with its mend, and what follows of it."""

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
    found = capabilities()
    runs, sentence = verdict(found)
    if as_json:
        told = {"runs": runs, "verdict": sentence, "capabilities": [asdict(one) for one in found]}
        out.print(json.dumps(told, indent=2), highlight=False, markup=False, soft_wrap=True)
    else:
        out.print(table(found))
        out.print(sentence, style="bold green" if runs else "bold red", highlight=False, markup=False)
    return 0 if runs else 1


def table(found: Sequence[Capability]) -> Table:
    cpus = f"{usable_cpus()} × {cpu_model()} ({virtualisation()})"
    title = f"{distribution()['name']}, kernel {platform.release()}, {cpus}"
    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in ("", "what", "needed for", "found"):
        shown.add_column(column, overflow="fold")
    for capability in found:
        missing = "[red]✗[/]" if capability.name in INDISPENSABLE else "[yellow]–[/]"
        mark = "[green]✓[/]" if capability.ok else missing
        found_here = escape(capability.detail)
        if capability.mend:
            found_here += f"\n[bold]mend:[/] {escape(capability.mend)}"
        shown.add_row(mark, escape(capability.name), escape(capability.needed_for), found_here)
    return shown


def verdict(found: Sequence[Capability]) -> tuple[bool, str]:
    """Whether scenarios can be run here, and for lack of what they cannot."""
    there = {capability.name for capability in found if capability.ok}
    lacking = [name for name in INDISPENSABLE if name not in there]
    if lacking:
        return False, f"Nothing runs here yet, for lack of: {', '.join(lacking)}."
    return True, "This host runs every scenario."
