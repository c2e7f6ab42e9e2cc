"""What a host can do is tried, leaves nothing behind, and each lack comes with its mend."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

from testbed import capabilities as caps
from testbed.capabilities import Capability, capabilities, package_mend
from testbed.doctor import INDISPENSABLE, doctor, verdict
from testbed.host import can_shape, host_facts
from testbed.kernel import PARTS, Kernel, kernel, parse_tries
from testbed.topology import Link, Node, Shape, Topology

FULL = Kernel(frozenset(PARTS), {})
STRIPPED = Kernel(frozenset(PARTS) - {"netem", "openvswitch"}, {"netem": "Specified qdisc kind is unknown."})


def topology(shape: Shape) -> Topology:
    device = Node("device1", "device", 0, 1, "10.77.0.2", "02:77:00:00:00:01", "edge1")
    edge = Node("edge1", "edge", 1, 2, "10.77.0.3", "02:77:00:00:00:02", None)
    return Topology((device, edge), (Link("device1-edge1", "access", 1, "device1", "edge1", shape, shape),))


def unshaped(shape: Shape, having: Kernel) -> list[str]:
    return [reason for reason in can_shape(topology(shape), having) if "root" not in reason]


def has(**lacking: bool) -> list[Capability]:
    names = [*INDISPENSABLE, "network namespaces", "veth and bridge", "netem", "user-mode Linux"]
    names += ["ifb, mirred, classifier", "token bucket (tbf, htb)"]
    return [Capability(name, lacking.get(name.replace(" ", "_"), True), "", "", "") for name in names]


def test_a_rate_alone_can_be_shaped_without_netem() -> None:
    assert unshaped(Shape(20_000_000), STRIPPED) == []


def test_a_delay_without_netem_is_refused_by_name() -> None:
    reasons = unshaped(Shape(20_000_000, delay_ms=10, loss=0.01), STRIPPED)
    assert reasons[0] == "link device1-edge1 (up) has delay, loss, for which this kernel lacks sch_netem"
    assert len(reasons) == 2


def test_a_full_kernel_shapes_everything() -> None:
    assert unshaped(Shape(1_000, delay_ms=1, jitter_ms=1, loss=0.1, duplicate=0.1, reorder=0.1), FULL) == []


def test_a_delay_needs_a_way_to_redirect_what_arrives() -> None:
    (up, _) = unshaped(Shape(None, delay_ms=5), Kernel(FULL.parts - {"ifb"}, {}))
    assert "ifb" in up


def test_without_namespaces_no_network_can_be_made() -> None:
    none = Kernel(frozenset(), dict.fromkeys(PARTS, "unshare: Operation not permitted"))
    assert "Operation not permitted" in can_shape(topology(Shape(None)), none)[0]


def test_tries_are_read_with_the_kernels_own_words() -> None:
    read = parse_tries("namespaces|yes|\nveth|yes|\nnetem|no|Error: unknown | kind.\n", "")
    assert read.has("namespaces", "veth")
    assert not read.has_netem
    assert read.said["netem"] == "Error: unknown | kind."
    assert read.said["bridge"] == "not reached"


def test_this_kernel_is_tried_without_leaving_anything() -> None:
    fresh = [sys.executable, "-c", "from testbed.kernel import kernel; print(len(kernel().parts))"]
    said = subprocess.run(fresh, capture_output=True, text=True, timeout=60, check=True).stdout
    assert int(said) == len(kernel().parts)
    interfaces = {path.name for path in Path("/sys/class/net").iterdir()}
    assert not interfaces & {"wan0", "wan1", "way0", "site0"}
    assert not [line for line in Path("/proc/mounts").read_text().splitlines() if line.startswith("testbed ")]


def test_facts_are_json_and_name_kernel_versions_and_commit() -> None:
    facts = json.loads(json.dumps(host_facts()))
    assert facts["kernel"] == os.uname().release
    assert facts["cpus"] >= 1
    assert facts["versions"]["docker"]
    assert facts["memory_bytes"] > 1 << 28
    assert set(facts["kernel_parts"]) | set(facts["kernel_lacks"]) == set(PARTS)


def test_capabilities_take_seconds_leave_nothing_and_mend_each_lack() -> None:
    scratch_before = set(Path(tempfile.gettempdir()).glob("testbed-probe-*"))
    started_s = time.monotonic()
    found = capabilities()
    assert time.monotonic() - started_s < 15  # 3 s on an idle machine
    assert set(Path(tempfile.gettempdir()).glob("testbed-probe-*")) <= scratch_before
    assert {"netem", "user-mode Linux", "Docker engine", "disk", "memory"} <= {one.name for one in found}
    for one in found:
        assert one.ok or one.mend, f"{one.name} has no mend"


def test_the_doctor_prints_every_need_and_ends_with_the_verdict() -> None:
    output = io.StringIO()
    status = doctor(Console(file=output, width=160))
    text = output.getvalue()
    assert "user-mode Linux" in text
    assert text.rstrip().endswith(".")
    assert status in (0, 1)


def test_a_host_with_netem_runs_everything_itself() -> None:
    assert verdict(has()) == (True, "This host runs every scenario itself.")


def test_a_host_without_netem_sends_delays_to_user_mode_linux() -> None:
    runs, sentence = verdict(has(netem=False))
    assert runs
    assert sentence == (
        "This host runs rate-only scenarios itself; those with delay, jitter or loss go to user-mode Linux."
    )


def test_without_either_delays_are_refused_and_rates_run() -> None:
    runs, sentence = verdict([one for one in has(netem=False) if one.name != "user-mode Linux"]
                             + [Capability("user-mode Linux", False, "", "", "")])  # fmt: skip
    assert runs
    assert "refused" in sentence


def test_without_docker_nothing_runs() -> None:
    runs, sentence = verdict(has(Docker_engine=False))
    assert not runs
    assert "Docker engine" in sentence


def test_a_package_is_named_as_the_distribution_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for ids, mend in (("debian", "apt-get install iproute2"), ("fedora", "dnf install iproute")):
        monkeypatch.setattr(caps, "distribution", lambda ids=ids: {"id": ids, "like": "", "name": ids})
        assert package_mend("ip") == mend
    monkeypatch.setattr(caps, "distribution", lambda: {"id": "void", "like": "", "name": "Void"})
    assert package_mend("ip") == "install the package that holds ip (Debian: iproute2)"


@pytest.mark.root
def test_an_ordinary_user_learns_what_the_kernel_has_too() -> None:
    code = "from testbed.kernel import kernel; k = kernel(); print(sorted(k.parts), dict(k.said))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, user=65534, group=65534, extra_groups=[],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "namespaces" in done.stdout
