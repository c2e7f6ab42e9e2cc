"""What control groups leave is held against what a run and its tiers need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.cgroup_limits import Bound, Limits
from testbed.host.facts import free_tasks, memory_bytes
from testbed.orchestrator.room import require_room, require_room_to_start, room_notes
from testbed.scenario.scenario import load_scenario
from tests import SCENARIOS

MIB = 1 << 20
GROUP = Path("/groups/lab")
SMOKE = SCENARIOS / "smoke.yaml"


def memory(free_mib: float) -> Limits:
    return Limits(memory=Bound(free_mib * MIB, free_mib * MIB, GROUP))


def test_a_run_needs_memory_for_itself_and_for_the_frames_of_its_links() -> None:
    smoke = load_scenario(SMOKE)
    require_room(smoke, Limits())
    require_room(smoke, memory(256))
    said = (
        r"^beside its tiers, a run of this scenario needs about 1\d\d MiB of memory, and the control group "
        r"/groups/lab leaves 128 MiB to this shell; raise that group's limit, or start it from a shell out"
    )
    with pytest.raises(TestbedError, match=said):
        require_room(smoke, memory(128))
    far = load_scenario(SMOKE, ["links.core.rate=1gbit", "links.core.delay=500ms"])
    with pytest.raises(TestbedError, match=r"needs about [3-6]\d\d MiB"):
        require_room(far, memory(256))


def test_a_run_of_many_links_needs_more_processes() -> None:
    smoke = load_scenario(SMOKE)
    room = Limits(processes=Bound(70, 70, GROUP))
    require_room(smoke, room)
    with pytest.raises(TestbedError, match="leaves 70 to this shell; raise that group's limit, or start"):
        require_room(load_scenario(SMOKE, ["tiers.device.nodes=40"]), room)


def test_tiers_that_may_use_more_than_all_containers_have_are_named() -> None:
    smoke = load_scenario(SMOKE)  # four nodes of 256 MiB
    assert list(room_notes(smoke, Limits(), memory(1024))) == []
    (note,) = room_notes(smoke, Limits(), memory(1000))
    assert note == (
        "the tiers may use 1,024 MiB of memory together, and the control group /groups/lab leaves "
        "1,000 MiB to them: if they use more, one is killed; lower their memory or their number, or raise "
        "that group's limit"
    )


def test_a_server_in_front_of_an_engine_counts_on_top() -> None:
    engine = "tiers.cloud.model={kind: engine, engine: llama.cpp, gguf: smollm2-135m-instruct}"
    scenario = load_scenario(SMOKE, [engine])
    (note,) = room_notes(scenario, Limits(), memory(1024))
    assert note.startswith("the tiers may use 1,280 MiB of memory together")


def test_tiers_that_may_have_more_threads_than_all_containers_have_are_named() -> None:
    smoke = load_scenario(SMOKE)
    assert list(room_notes(smoke, Limits(), Limits(processes=Bound(9000, 9000, GROUP)))) == []
    (note,) = room_notes(smoke, Limits(), Limits(processes=Bound(300, 200, GROUP)))
    assert "and the control group /groups/lab leaves 200 to them: if they need more, requests fail" in note


def test_a_quota_of_the_shell_below_a_cpu_is_named_and_one_of_the_containers_lowers_the_tiers() -> None:
    smoke = load_scenario(SMOKE)
    quota = Limits(cpus=Bound(0.5, 0.5, GROUP))
    (note,) = room_notes(smoke, quota, Limits())
    assert note.startswith("the control group /groups/lab leaves 0.5 CPUs to this shell: requests")
    assert list(room_notes(smoke, Limits(cpus=Bound(1.0, 1.0, GROUP)), Limits())) == []
    assert quota.usable_cpus == 0.5
    assert Limits(cpus=Bound(10_000, 10_000, GROUP)).usable_cpus == Limits().usable_cpus


def test_more_containers_than_there_is_memory_for_are_refused_with_what_is_missing() -> None:
    many = load_scenario(SMOKE, ["tiers.device.nodes=300"])
    said = (
        r"^302 containers need at least 9,664 MiB of memory, and the control group /groups/lab leaves 4,000 "
        r"MiB to them; raise that group's limit, or take fewer nodes"
    )
    with pytest.raises(TestbedError, match=said):
        require_room_to_start(many, memory(4000))


def test_more_containers_than_the_kernel_has_process_ids_for_are_refused_with_what_is_missing() -> None:
    few = Limits(processes=Bound(2000, 1000, GROUP))
    with pytest.raises(TestbedError, match="about 1,120 processes and threads from the start, and the co"):
        require_room_to_start(load_scenario(SMOKE, ["tiers.device.nodes=12"]), few)
    assert 0 < free_tasks() < 1 << 22


FILES = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, int(sys.argv[1])))
from testbed.host.processes.open_files import allow_open_files
allow_open_files(400, "a run needs")
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("hard", "told"), [(1000, "400"), (300, "allows 300; raise its hard limit")])
def test_the_limit_on_open_files_is_raised_as_far_as_a_run_needs_or_named(hard: int, told: str) -> None:
    command = [sys.executable, "-c", FILES, str(hard)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert told in done.stdout + done.stderr


@pytest.mark.skipif(
    memory_bytes()["MemAvailable"] > 75 << 30,
    reason="this host has the memory that is asked for",
)
def test_the_kernels_buffers_of_captures_count_as_memory() -> None:
    require_room_to_start(load_scenario(SMOKE), Limits())
    many = ["tiers.device.nodes=997", "links.access.queue=10", "links.access.delay=0ms"]
    fast = load_scenario(SMOKE, [*many, "links.access.rate=100mbit"])  # 2 s of both ways: 48 MiB for each
    said = r"^999 containers need at least 31,968 MiB of memory, and the run with its captures 53,\d{3} MiB"
    with pytest.raises(TestbedError, match=said):
        require_room_to_start(fast, Limits())
