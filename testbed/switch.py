"""The switch of a site, as Mininet switches that know beforehand who is behind which port.

Nothing is learnt and nothing flooded: the host of the site reaches its neighbours in the tree, each through
the port of its link, and they reach the host. No way leads from one link to another, so none past a tier.
Where siblings share a link, a switch of the same kind stands before it: what they reach is the link, and
not one another.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from testbed.errors import TestbedError
from testbed.lazy_shell import LazyShell
from testbed.mininet_compat import Switch
from testbed.netns import HERE, run_in
from testbed.plan import Plan

SwitchKind = Literal["bridge", "ovs"]
OVS_TIMEOUT_S = 30
OVS_RUN_DIRECTORY = Path("/run/openvswitch")


@dataclass(frozen=True, slots=True)
class SwitchPort:
    """A port, and the only addresses that are reached through it.

    An ``isolated`` port reaches the one that is not, and no other.
    """

    interface: str
    macs: tuple[str, ...]
    isolated: bool


class SiteSwitch(LazyShell, Switch):
    """What both kinds have in common: a name in the kernel, a namespace, and ports."""

    apart = False
    """Whether ports are in another namespace than the wires, since the switch changes their queueing."""
    controlIntf = None  # Mininet's name; there is no controller

    def __init__(self, name: str, *, interface: str, plan: Plan, number: int, **params: Any) -> None:
        self.interface = interface
        self.plan = plan
        self.netns_path = plan.netns_path
        self.site_ports: list[SwitchPort] = []
        params["inNamespace"] = True  # the plan's: Mininet moves nothing and looks for no loopback
        super().__init__(name, dpid=f"{number:x}", **params)

    def add_port(self, interface: str, *macs: str, isolated: bool) -> None:
        """Note a port, and that ``macs`` are behind it."""
        self.site_ports.append(SwitchPort(interface, macs, isolated))

    def stop(self, deleteIntfs: bool = True) -> None:
        """End the shell; interfaces go with the run's namespace."""
        self.terminate()


class BridgeSwitch(SiteSwitch):
    """A Linux bridge in the run's namespace, with static entries and isolated ports (bridge(8))."""

    def __init__(self, name: str, **params: Any) -> None:
        super().__init__(name, **params)
        self.plan.create.append(
            f"link add name {self.interface} type bridge stp_state 0 forward_delay 0 mcast_snooping 0 "
            "mcast_querier 0 nf_call_iptables 0 nf_call_arptables 0"
        )
        self.plan.add_interface(self.interface)

    def add_port(self, interface: str, *macs: str, isolated: bool) -> None:
        super().add_port(interface, *macs, isolated=isolated)
        self.plan.create += [
            f"link set dev {interface} master {self.interface}",
            f"link set dev {interface} type bridge_slave learning off flood off mcast_flood off "
            f"bcast_flood off isolated {'on' if isolated else 'off'}",
        ]
        self.plan.forward += [f"fdb replace {mac} dev {interface} master static" for mac in macs]

    def start(self, controllers: Sequence[Any]) -> None:
        """Nothing: the plan brings the bridge up with all others."""


class OvsSwitch(SiteSwitch):
    """An Open vSwitch bridge of the kernel's datapath, in the host's namespace, with static flows.

    It is in mode *secure*: without a flow, nothing passes (ovs-vsctl(8)).
    """

    apart = True

    def start(self, controllers: Sequence[Any]) -> None:
        """Nothing: :meth:`batchStartup` starts all at once."""

    @classmethod
    def batchStartup(cls, switches: Sequence[OvsSwitch]) -> Sequence[OvsSwitch]:
        """Make all bridges with their ports in one transaction, then give each its flows (Mininet's hook)."""
        command = ["ovs-vsctl", f"--timeout={OVS_TIMEOUT_S}"]
        for switch in switches:
            command += switch.configuration()
        run_in(HERE, command)
        for switch in switches:
            flows = "".join(f"{flow}\n" for flow in switch.flows())
            add = ["ovs-ofctl", f"--timeout={OVS_TIMEOUT_S}", "add-flows", switch.interface, "-"]
            run_in(HERE, add, stdin=flows)
        return switches

    def configuration(self) -> list[str]:
        """The bridge and its ports, numbered from 1 in the order in which they came, for ovs-vsctl(8)."""
        bridge = self.interface
        commands = [
            "--",
            "add-br",
            bridge,
            "--",
            "set",
            "bridge",
            bridge,
            "fail_mode=secure",
            "stp_enable=false",
        ]
        commands += ["mcast_snooping_enable=false", "other_config:disable-in-band=true"]
        for number, port in enumerate(self.site_ports, 1):
            commands += ["--", "add-port", bridge, port.interface]
            commands += ["--", "set", "interface", port.interface, f"ofport_request={number}"]
        return commands

    def flows(self) -> list[str]:
        """Between each isolated port and the one that is not (ovs-ofctl(8))."""
        hub, common = next((n, port) for n, port in enumerate(self.site_ports, 1) if not port.isolated)
        flows = []
        for number, port in enumerate(self.site_ports, 1):
            if port.isolated:
                flows += [f"in_port={hub},dl_dst={mac},actions=output:{number}" for mac in port.macs]
                flows += [f"in_port={number},dl_dst={mac},actions=output:{hub}" for mac in common.macs]
        return flows


def delete_ovs(bridges: Sequence[str]) -> None:
    """Remove Open vSwitch bridges; those that are not there are passed over."""
    command = ["ovs-vsctl", f"--timeout={OVS_TIMEOUT_S}"]
    for bridge in bridges:
        command += ["--", "--if-exists", "del-br", bridge]
    if bridges:
        run_in(HERE, command)


def ovs_bridges() -> list[str]:
    """Names of all Open vSwitch bridges of the host; none where it does not run."""
    if not OVS_RUN_DIRECTORY.exists():
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["ovs-vsctl", "--timeout=5", "list-br"], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.split()
    return []


def ovs_answers() -> bool:
    """Whether Open vSwitch runs here, with the kernel's datapath."""
    if not OVS_RUN_DIRECTORY.exists():
        return False
    try:
        done = subprocess.run(
            ["ovs-vsctl", "--timeout=5", "--bare", "get", "Open_vSwitch", ".", "datapath_types"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return "system" in done.stdout and Path("/sys/module/openvswitch").exists()


def choose_switch(asked: str) -> SwitchKind:
    """``asked``, or for ``auto`` Open vSwitch where it answers and a Linux bridge elsewhere.

    Raises:
        TestbedError: Open vSwitch was asked for and does not answer.
    """
    if asked == "auto":
        return "ovs" if ovs_answers() else "bridge"
    if asked == "bridge":
        return "bridge"
    if asked != "ovs":
        raise TestbedError(f"switch: {asked!r} is none of auto, bridge, ovs")
    if not ovs_answers():
        raise TestbedError(
            "switch: ovs was asked for, but no Open vSwitch answers with the kernel's datapath; "
            "start openvswitch-switch or choose bridge"
        )
    return "ovs"
