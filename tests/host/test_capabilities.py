"""What a host can do is tried, leaves nothing behind, and each lack comes with its mend."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from testbed.host import packages
from testbed.host.capabilities import Capability, capabilities
from testbed.host.doctor import INDISPENSABLE, doctor, verdict
from testbed.host.facts import host_facts
from testbed.host.kernel import PARTS, kernel, parse_tries
from testbed.host.packages import package_mend
from testbed.scenario.topology import Node, Topology
from tests import ROOT

ALONE = Topology((Node("device1", "device", 0, 1, "10.77.0.2", "02:77:00:00:00:01", None),), ())


def has(*lacking: str) -> list[Capability]:
    names = [*INDISPENSABLE, "tshark", "CPUs", "real-time priority", "locked memory"]
    return [Capability(name, name not in lacking, "", "", "") for name in names]


def test_tries_are_read_with_the_kernels_own_words() -> None:
    there, said = parse_tries("veth|yes|\nbridge|no|Error: unknown | kind.\n", PARTS, "")
    assert there == {"veth"}
    assert said["bridge"] == "Error: unknown | kind."
    assert said["overlayfs"] == "not reached"


def test_this_kernel_is_tried_without_leaving_anything() -> None:
    fresh = [sys.executable, "-c", "from testbed.host.kernel import kernel; print(len(kernel().parts))"]
    said = subprocess.run(fresh, capture_output=True, text=True, timeout=60, check=True).stdout
    assert int(said) == len(kernel().parts)
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not interfaces & {"wan0", "wan1", "site0"}
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if line.startswith("testbed ")]


def test_facts_are_json_and_name_kernel_versions_and_commit() -> None:
    facts = json.loads(json.dumps(host_facts()))
    assert facts["kernel"] == os.uname().release
    assert facts["cpus"] >= 1
    assert facts["versions"]["docker"]
    assert facts["memory_bytes"] > 1 << 28


def test_capabilities_take_seconds_leave_nothing_and_mend_each_lack() -> None:
    here = os.sched_getscheduler(0)
    started_s = time.monotonic()
    found = capabilities()
    assert time.monotonic() - started_s < 15  # 2 s on an idle machine
    names = {need.name for need in found}
    assert set(INDISPENSABLE) | {"real-time priority", "locked memory", "disk", "memory"} <= names
    for need in found:
        assert need.ok or need.mend, f"{need.name} has no mend"
    assert os.sched_getscheduler(0) == here
    assert re.search(r"^VmLck:\s*0 kB$", Path("/proc/self/status").read_text(), re.MULTILINE)


def test_the_doctor_prints_every_need_and_ends_with_the_verdict() -> None:
    output = io.StringIO()
    status = doctor(Console(file=output, width=160))
    text = output.getvalue()
    assert "packet sockets" in text
    assert text.rstrip().endswith(".")
    assert status in (0, 1)


def test_the_doctor_tells_programs_the_same() -> None:
    output = io.StringIO()
    status = doctor(Console(file=output, width=40), as_json=True)
    told = json.loads(output.getvalue())
    assert told["runs"] == (status == 0)
    assert told["verdict"].endswith(".")
    for one in told["capabilities"]:
        assert set(one) == {"name", "ok", "needed_for", "detail", "mend"}


@pytest.mark.root
def test_what_late_frames_cost_is_said_where_the_real_time_priority_is_refused() -> None:
    """As root without the two capabilities that it takes, as in a container."""
    code = "from testbed.host.doctor import doctor; import sys; sys.exit(doctor(as_json=True))"
    bounded = ["setpriv", "--bounding-set", "-sys_nice,-ipc_lock", "--inh-caps", "-sys_nice,-ipc_lock"]
    limited = ["prlimit", "--rtprio=0:0", "--memlock=65536:65536"]
    done = subprocess.run(
        [*limited, *bounded, "--", sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    told = {need["name"]: need for need in json.loads(done.stdout)["capabilities"]}
    for name in ("real-time priority", "locked memory"):
        assert not told[name]["ok"]
        assert "frames may be late under load, which the verdict on latency sees" in told[name]["detail"]
        assert "--cap-add" in told[name]["mend"]


def test_a_host_with_all_that_is_needed_runs_every_scenario() -> None:
    assert verdict(has()) == (True, "This host runs every scenario.")


@pytest.mark.parametrize("name", ["real-time priority", "locked memory", "tshark", "CPUs"])
def test_without_what_only_costs_time_every_scenario_runs_all_the_same(name: str) -> None:
    assert verdict(has(name)) == (True, "This host runs every scenario.")


@pytest.mark.parametrize("name", INDISPENSABLE)
def test_without_what_is_indispensable_nothing_runs_and_it_is_named(name: str) -> None:
    assert verdict(has(name)) == (False, f"Nothing runs here yet, for lack of: {name}.")


def test_a_package_is_named_as_the_distribution_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for ids, mend in (("debian", "apt-get install iproute2"), ("fedora", "dnf install iproute")):
        monkeypatch.setattr(packages, "distribution", lambda ids=ids: {"id": ids, "like": "", "name": ids})
        assert package_mend("ip") == mend
    monkeypatch.setattr(packages, "distribution", lambda: {"id": "void", "like": "", "name": "Void"})
    assert package_mend("ip") == "install the package that holds ip (Debian: iproute2)"


IN_A_CHROOT = """
cd "$0"
for entry in /*; do
    if [ -L "$entry" ]; then cp -P "$entry" .; elif [ -d "$entry" ]; then
        mkdir -p "$PWD$entry" && mount --rbind "$entry" "$PWD$entry"
    fi
done
exec chroot . "$@"
"""


@pytest.mark.root
@pytest.mark.parametrize("bound", [False, True])
def test_in_a_chroot_that_is_no_mount_point_this_is_said_and_how_to_mend_it(
    tmp_path: Path, bound: bool
) -> None:
    lines = f'mount --bind "$0" "$0"\n{IN_A_CHROOT}' if bound else IN_A_CHROOT
    asked = f"cd {ROOT} && exec {sys.executable} -m testbed.cli doctor --json"
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-ec", lines, tmp_path, "sh", "-c", asked],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    found = {need["name"]: need for need in json.loads(done.stdout)["capabilities"]}
    assert found["veth"]["ok"] == bound
    assert found["veth"]["mend"] == ("" if bound else "mount --bind DIR DIR before chroot DIR")


@pytest.mark.root
def test_an_ordinary_user_learns_what_the_kernel_has_too() -> None:
    code = "from testbed.host.kernel import kernel; k = kernel(); print(sorted(k.parts), dict(k.reasons))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, user=65534, group=65534, extra_groups=[],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "network namespaces" in done.stdout
