"""``testbed doctor``: what this host can and cannot do, each lack with its mend, and what follows of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from testbed.capabilities import Capability, capabilities
from testbed.host import cpu_model, distribution, in_user_mode_linux, usable_cpus, virtualisation
from testbed.kernel import kernel

INDISPENSABLE = (
    "root",
    "Docker engine",
    "Python packages",
    "ip",
    "mnexec",
    "tcpdump",
    "cgroups",
    "overlayfs",
)
HARMLESS = ("openvswitch", "tshark", "debootstrap", "CPUs", "memory", "disk", "user-mode Linux", "netem")


def doctor(console: Console | None = None) -> int:
    """Print the table and the verdict; the exit status is 0 if some way of running exists."""
    out = console or Console()
    found = capabilities()
    out.print(table(found))
    runs, sentence = verdict(found)
    out.print(sentence, style="bold green" if runs else "bold red", highlight=False, markup=False)
    return 0 if runs else 1


def table(found: Sequence[Capability]) -> Table:
    title = (
        f"{distribution()['name']}, kernel {_release()}, {usable_cpus()} × {cpu_model()} ({virtualisation()})"
    )
    shown = Table(title=title, title_justify="left", show_lines=False)
    for column in ("", "what", "needed for", "found"):
        shown.add_column(column, overflow="fold")
    for capability in found:
        missing = "[yellow]–[/]" if capability.name in HARMLESS else "[red]✗[/]"
        mark = "[green]✓[/]" if capability.ok else missing
        found_here = escape(capability.detail)
        if capability.mend:
            found_here += f"\n[bold]mend:[/] {escape(capability.mend)}"
        shown.add_row(mark, escape(capability.name), escape(capability.needed_for), found_here)
    return shown


def verdict(found: Sequence[Capability]) -> tuple[bool, str]:
    """Whether a scenario can be run here in some way, and which scenario in which."""
    has = {capability.name: capability.ok for capability in found}
    lacking = [name for name in INDISPENSABLE if not has.get(name, False)]
    if lacking:
        return False, f"Nothing runs here yet, for lack of: {', '.join(lacking)}."
    networks = has["network namespaces"] and has["veth and bridge"]
    if networks and has["netem"] and has["ifb, mirred, classifier"]:
        return True, "This host runs every scenario itself."
    machine = has["user-mode Linux"] and not in_user_mode_linux()
    if networks and has.get("token bucket (tbf, htb)", False):
        if machine:
            return True, (
                "This host runs rate-only scenarios itself; "
                "those with delay, jitter or loss go to user-mode Linux."
            )
        return True, (
            "This host runs rate-only scenarios; those with delay, jitter or loss are refused until "
            "it has a kernel with netem or user-mode Linux."
        )
    if machine:
        return True, "This host's kernel shapes no link; every scenario goes to user-mode Linux."
    return (
        False,
        "Nothing runs here yet: neither the kernel nor user-mode Linux can make and shape a network.",
    )


def _release() -> str:
    return platform.release() + ("" if kernel().has_netem else " without netem")
