"""A run from scenario to sealed directory, on real containers, links and captures."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import signal
import statistics
import subprocess
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from scapy.layers.inet import TCP
from scapy.utils import PcapReader

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir
from testbed.host.engine import engine
from testbed.network.containers import RUN_LABEL
from testbed.results.columns import LINKS, REQUESTS, TIERS
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.wire.account import LinkEnds, account
from testbed.wire.pcap import count_frames
from tests import ROOT
from tests.e2e.runs import (
    COMMAND,
    RUN_TIMEOUT_S,
    SMOKE,
    check_bytes,
    check_prompt_bytes,
    left_behind,
    read,
    rest_of_output,
    run,
    run_command,
    running,
    wait_for,
    wait_for_traffic,
    wait_until_nothing_is_left,
)
from tests.listeners import check_listeners
from tests.wire import wireshark
from tiers.protocol import TIER_PORT

pytestmark = pytest.mark.docker
REPLAYING = "recserve: replaying"
WAYS = ("up", "down")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    done = run(out, "--set", "tiers.cloud.cpus=64")
    assert done.returncode == 0, done.stderr
    assert "May it be believed" in done.stdout
    return out


def test_the_run_directory_is_complete_and_its_sums_hold(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "manifest.json", "trace.jsonl", "requests.parquet", "links.parquet", "tiers.parquet", "captures",
        "fidelity.json", "summary.json", "SHA256SUMS", "report.html", "scenario.yaml",
    }  # fmt: skip
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=finished, check=True, timeout=60)
    assert read(finished, "manifest.json")["status"] == "finished"
    assert set(read(finished, "requests.parquet")[0]) == set(REQUESTS.names)
    assert set(read(finished, "links.parquet")[0]) == set(LINKS.names)
    assert set(read(finished, "tiers.parquet")[0]) == set(TIERS.names)


def test_every_byte_that_the_kernel_counted_has_a_cause(finished: Path) -> None:
    rows = check_bytes(finished)
    assert len(rows) == 2 * 3 * 2
    for method in ("cloud-only", "recserve"):
        for pcap in (finished / "captures" / method).iterdir():
            own = [row for row in rows if (row["method"], row["link"]) == (method, pcap.stem)]
            frames = sum(row["frames"] for row in own), sum(row["frame_bytes"] for row in own)
            assert count_frames(pcap) == frames
    assert read(finished, "fidelity.json")["faithful"]["bytes"]


def test_prompt_bytes_on_a_link_are_those_of_the_requests_that_crossed_it(finished: Path) -> None:
    check_prompt_bytes(finished)


def test_the_bytes_of_all_requests_are_those_of_their_links(finished: Path) -> None:
    crossed: Counter[tuple[str, str, str]] = Counter()
    for row in read(finished, "requests.parquet"):
        assert row["hops"] == [f"{lower}-{upper}" for lower, upper in pairwise(row["path"])]
        for hop, up, down in zip(row["hops"], row["hop_prompt_bytes"], row["hop_answer_bytes"], strict=True):
            assert up > 0
            assert down > 0
            crossed[row["method"], hop, "up"] += up
            crossed[row["method"], hop, "down"] += down
    for row in read(finished, "links.parquet"):
        text_bytes = row["prompt_bytes"] + row["answer_bytes"]
        assert text_bytes == crossed[row["method"], row["link"], row["direction"]]
        assert row["unattributed_bytes"] == 0


def test_the_papers_burden_and_theory_agree_with_links_and_tiers(finished: Path) -> None:
    methods = read(finished, "summary.json")["methods"]
    crossed: Counter[str] = Counter()
    sent_up: Counter[str] = Counter()
    for row in read(finished, "links.parquet"):
        crossed[row["method"]] += row["prompt_bytes"] + row["answer_bytes"]
        if row["method"] == "recserve" and row["direction"] == "up":
            sent_up[row["link"].split("-")[0].rstrip("12")] += row["prompt_bytes"]
    assert methods["recserve"]["burden_paper_bytes"] == 2 * crossed["recserve"]
    assert methods["cloud-only"]["burden_paper_bytes"] == crossed["cloud-only"]  # two hops, counted as one
    theory = methods["recserve"]["theory"]
    assert {tier: hop["prompt_bytes"] for tier, hop in theory["hops"].items()} == sent_up
    tiers = [row for row in read(finished, "tiers.parquet") if row["method"] == "recserve"]
    for spent in ("inferences", "inference_ms"):
        of_all = theory["compute"][spent] * methods["recserve"]["requests"]
        assert of_all == pytest.approx(sum(row[spent] for row in tiers))


def test_what_each_tier_spent_is_told_by_method(finished: Path) -> None:
    requests = read(finished, "requests.parquet")
    rows = read(finished, "tiers.parquet")
    assert len(rows) == 2 * 4
    for row in rows:
        inferred = [
            (request["kept"][place], request["tier"])
            for request in requests
            if request["method"] == row["method"]
            for place, node in enumerate(request["path"])
            if node == row["node"] and request["confidences"][place] is not None
        ]
        assert row["inferences"] == len(inferred)
        assert row["kept"] == sum(kept for kept, _ in inferred)
        assert row["replaced_inferences"] == sum(tier != row["tier"] for _, tier in inferred)
        assert row["inference_ms"] >= (row["inferences"] > 0)
        assert row["anon_bytes"] > 1e6
        assert 0 <= row["throttled_periods"] <= row["periods"]
        assert row["throttled_s"] >= 0
    served = {(row["method"], row["tier"]): row["inferences"] for row in rows if row["tier"] != "device"}
    assert (served["cloud-only", "edge"], served["cloud-only", "cloud"]) == (0, 20)
    assert min(row["cpu_seconds"] for row in rows) > 0
    for limit in read(finished, "fidelity.json")["tiers"]:
        assert limit["periods"] == sum(row["periods"] for row in rows if row["node"] == limit["node"])


def test_more_cpus_than_there_are_is_recorded_and_speaks_against_latency(finished: Path) -> None:
    usable = len(os.sched_getaffinity(0))
    note = f"tiers.cloud.cpus: 64 is more than the machine's {usable}; runs with {usable}"
    assert note in read(finished, "manifest.json")["notes"]
    fidelity = read(finished, "fidelity.json")
    cloud = next(limit for limit in fidelity["tiers"] if limit["node"] == "cloud1")
    assert (cloud["cpus_asked"], cloud["cpus"]) == (64, usable)
    reason = f"cloud1 was to have 64 CPUs and got {usable}: there are no more"
    assert reason in fidelity["reasons"]["latency"]


def test_its_times_add_up_and_its_audit_is_clean(finished: Path) -> None:
    for row in read(finished, "requests.parquet"):
        assert row["scheduled_at_s"] <= row["sent_at_s"] <= row["done_at_s"]
        spent_ms = (row["done_at_s"] - row["scheduled_at_s"]) * 1000
        assert math.isclose(row["latency_ms"], spent_ms, abs_tol=1e-6)
        lists = ("queue_ms", "inference_ms", "own_ms", "hop_up_ms", "hop_down_ms")
        causes_ms = [row["lateness_ms"], row["unexplained_ms"], *(ms for name in lists for ms in row[name])]
        assert math.isclose(math.fsum(causes_ms), row["latency_ms"])
        assert min(causes_ms) >= 0
    done = run_command("audit", str(finished))
    assert (done.returncode, "no difference" in done.stdout) == (0, True), done.stderr


def test_hop_times_agree_with_the_clock_of_the_captures(finished: Path) -> None:
    """Between a prompt's frame and its answer's on the wire lies what the tiers' clocks say was above it, and
    the way up; the answer's way down comes after its frame.

    A frame that the link process put on the wire late is handed on at its time all the same: what is left of
    its way is shorter by as much.
    """
    delays_ms = {link["name"]: link["down"]["delay_ms"] for link in read(finished, "manifest.json")["links"]}
    excess_ms = []
    for row in read(finished, "requests.parquet"):
        for at, hop in enumerate(row["hops"]):
            asked_s, answered_s = on_the_wire(finished, row["method"], hop)[row["request_id"]]
            waited_ms = row["upstream_ms"][at]
            above_ms = waited_ms - row["hop_up_ms"][at] - row["hop_down_ms"][at]
            seen_ms = (answered_s - asked_s) * 1000
            assert above_ms - 0.1 <= seen_ms <= waited_ms + 0.1
            excess_ms.append(waited_ms - seen_ms - delays_ms[hop])
    reports = read(finished, "fidelity.json")["link_process"].values()
    assert min(excess_ms) > -max(report["put_on_wire"]["max_ms"] for report in reports) - 0.1
    assert sum(excess < 0 for excess in excess_ms) < len(excess_ms) / 10
    assert statistics.median(excess_ms) < 5


@cache
def on_the_wire(run: Path, method: str, link: str) -> dict[str, tuple[float, float]]:
    """When the frame that begins each request was on the wire, and the one that begins its answer."""
    asked: dict[str, float] = {}
    both: dict[str, tuple[float, float]] = {}
    waiting: dict[int, str] = {}
    with PcapReader(str(run / "captures" / method / f"{link}.pcap")) as frames:
        for frame in frames:
            payload = bytes(frame[TCP].payload)
            if payload.startswith(b"POST"):
                request_id = payload.partition(b"\r\nX-Request-Id: ")[2].partition(b"\r\n")[0].decode()
                asked[request_id] = float(frame.time)
                waiting[frame[TCP].sport] = request_id
            elif payload.startswith(b"HTTP/1.1"):
                request_id = waiting[frame[TCP].dport]
                both[request_id] = asked[request_id], float(frame.time)
    return both


def test_fidelity_has_all_that_a_reader_would_ask_of_the_network_and_the_host(finished: Path) -> None:
    fidelity = read(finished, "fidelity.json")
    directions = {(link, way) for link in ("device1-edge1", "device2-edge1", "edge1-cloud1") for way in WAYS}
    for when in ("before", "after"):
        measured = {
            (finding["link"], finding["direction"], finding["quantity"]): finding
            for finding in fidelity["links"][when]
        }
        for link, way in directions:
            for quantity in ("rate", "loss", "jitter", "one way"):
                finding = measured[link, way, quantity]
                assert None not in (finding["configured"], finding["measured"], finding["samples"])
            assert measured[link, "both", "round trip"]["measured"] > 0
    for method in ("cloud-only", "recserve"):
        assert {"busy", "contended", "steal", "pressure"} <= set(fidelity["cpu"][method])
        backlog = {(queue["link"], queue["direction"]): queue for queue in fidelity["backlog"][method]}
        assert set(backlog) == directions
        assert all(queue["queue_frames"] >= 100 for queue in backlog.values())
        assert backlog["device1-edge1", "up"]["max_frames"] > 0
        accounts = [account for account in fidelity["bytes"] if account["method"] == method]
        assert {(account["link"], account["direction"]) for account in accounts} == directions
        for column in ("capture_dropped_frames", "queue_dropped_frames"):
            assert {account[column] for account in accounts} == {0}
    for name in ("lateness", "unexplained"):
        assert [times["method"] for times in fidelity[name]] == ["cloud-only", "recserve"]
        for times in fidelity[name]:
            assert 0 < times["p50_ms"] <= times["p99_ms"] <= times["max_ms"]
            assert times["requests"] == 20
    for tier in fidelity["tiers"]:
        assert 0 <= tier["throttled_periods"] <= tier["periods"]


def test_a_capture_that_was_cut_is_told_by_report_and_audit(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    pcap = next((copy / "captures" / "recserve").iterdir())
    pcap.write_bytes(pcap.read_bytes()[:-7])
    for name in ("report", "audit"):
        done = run_command(name, str(copy))
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert f"captures/recserve/{pcap.name} is not as the run left it" in done.stdout + done.stderr
    with pytest.raises(TestbedError, match="is cut off after frame"):
        count_frames(pcap)


def test_wireshark_opens_every_capture_and_finds_the_same_in_it(finished: Path) -> None:
    topology = Scenario.model_validate(read(finished, "manifest.json")["scenario"]).topology
    pcaps = sorted((finished / "captures").glob("*/*.pcap"))
    assert len(pcaps) == 2 * 3
    for pcap in pcaps:
        link = next(link for link in topology.links if link.name == pcap.stem)
        ends = LinkEnds(topology.node(link.child).mac, topology.node(link.parent).mac)
        wireshark.check(pcap, account(pcap, ends))


def test_scapy_reads_the_same_in_its_captures(finished: Path) -> None:
    """The same bytes by cause, prompts and answers, of all captures and as a whole: no frame was lost."""
    done = run_command("audit", str(finished), "--wire")
    assert done.returncode == 0, done.stderr
    hops = sum(len(row["hops"]) for row in read(finished, "requests.parquet"))
    expected = (
        f"6 captures read again by scapy: all complete; {2 * hops} prompts and answers and all sums compared"
    )
    assert expected in done.stdout


def test_its_frames_are_shown_on_the_runs_clock(finished: Path) -> None:
    for row in read(finished, "requests.parquet"):
        if row["method"] != "recserve" or not row["hops"]:
            continue
        done = run_command(
            "packets", str(finished), "recserve", row["hops"][-1], "--request", row["request_id"]
        )
        assert done.returncode == 0, done.stderr
        assert "time 0 is the method's start" in done.stdout
        frames = [line.split() for line in done.stdout.splitlines() if f" {row['request_id']} " in line]
        payload_s = [float(cells[0]) for cells in frames if "prompt" in cells or "answer" in cells]
        assert len(payload_s) >= 2
        assert row["sent_at_s"] < min(payload_s) < max(payload_s) < row["done_at_s"]


def test_nothing_of_it_is_left(finished: Path) -> None:
    assert wait_until_nothing_is_left() == []


def test_decisions_hold_where_many_requests_run_at_the_same_time(tmp_path: Path) -> None:
    out = tmp_path / "run"
    busy = ("--requests", "200", "--set", "trace.arrivals.rate=80", "--set", "tiers.cloud.cpus=0.2")
    done = run(out, "--methods", "recserve", "--quiet", *busy)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{out}\n"
    doubted = [claim for claim, holds in read(out, "fidelity.json")["faithful"].items() if not holds]
    told = [line.split()[:5] for line in done.stderr.splitlines()]
    assert told == [["testbed:", claim, "may", "not", "be"] for claim in doubted]
    rows = read(out, "requests.parquet")
    overlapping = sum(later["sent_at_s"] < row["done_at_s"] for row, later in pairwise(rows))
    assert overlapping > 20
    faithful = read(out, "fidelity.json")["faithful"]
    assert faithful["decisions"]
    assert faithful["bytes"]


def test_a_run_that_is_interrupted_keeps_and_judges_what_was_measured(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with running(out, "--set", "trace.arrivals.rate=5") as process:
        wait_for(process, REPLAYING)
        wait_for_traffic(out, "recserve")
        process.send_signal(signal.SIGINT)
        output = rest_of_output(process)
        assert process.wait(60) == 130
    *_, where, last = output.strip().splitlines()
    assert str(out) in where
    assert last == "testbed: interrupted"
    assert wait_until_nothing_is_left() == []
    assert read(out, "manifest.json")["status"] == "interrupted"
    begun = Counter(row["method"] for row in read(out, "requests.parquet"))
    assert begun["cloud-only"] == len((out / "trace.jsonl").read_text().splitlines()) > begun["recserve"] > 0
    check_bytes(out)
    fidelity = read(out, "fidelity.json")
    assert fidelity["reasons"]["bytes"] == fidelity["reasons"]["decisions"] == []
    assert fidelity["reasons"]["quality"] == [
        f"recserve: {begun['cloud-only']} requests have {begun['recserve']} outcomes"
    ]
    assert "the links were not measured after the replay" in fidelity["reasons"]["latency"]
    reported = run_command("report", str(out), "--page")
    assert reported.returncode == 1
    assert f"recserve was broken off after {begun['recserve']} of" in reported.stdout.splitlines()[0]


def test_after_a_kill_clean_removes_all_of_it_and_nothing_else(tmp_path: Path) -> None:
    foreign = "tb0-not-ours"
    subprocess.run(["ip", "netns", "add", foreign], check=True, timeout=10)
    try:
        with running(tmp_path / "run", "--set", "trace.arrivals.rate=2") as process:
            wait_for(process, REPLAYING)
            containers = engine().containers.list(filters={"label": RUN_LABEL})
            listening = check_listeners(process.pid, [found.attrs["State"]["Pid"] for found in containers])
            assert [found.port for found in listening] == [TIER_PORT] * len(containers)
            second = run(tmp_path / "second")
            assert second.returncode == 1
            assert f"process {process.pid}" in second.stderr
            assert len(second.stderr.strip().splitlines()) == 1
            process.kill()
            process.wait(10)
        assert left_behind()
        for command in ("report", "audit"):
            told = run_command(command, str(tmp_path / "run"))
            assert told.returncode == 1
            assert "so it goes on or its process was killed; nothing of it was judged" in (
                told.stdout + told.stderr
            )
        done = run_command("clean")
        assert (done.returncode, "removed container" in done.stdout) == (0, True), done.stderr
        assert wait_until_nothing_is_left() == [f"namespace {foreign}"]
    finally:
        subprocess.run(["ip", "netns", "del", foreign], check=True, timeout=10)


MINE = """
import numpy as np
from tiers.policies import Decision, Policy

class Mine(Policy):
    def judge(self, request, confidence):
        if request.id == "LEFT":
            raise SystemExit(0)
        return Decision(np.bool_(True), np.float32(0.25), np.int64(7))
"""


def test_a_policy_that_only_its_owner_may_read_decides_in_the_containers(tmp_path: Path) -> None:
    """What it gives of numpy's is recorded as numbers. Where it leaves, that is one request and no more."""
    policy = tmp_path / "mine.py"
    left = build_trace(load_scenario(SMOKE, requests=3))[1].id
    policy.write_text(MINE.replace("LEFT", left))
    policy.chmod(0o600)
    methods = f"methods=[{{name: mine, policy: '{policy}:Mine'}}]"
    done = run(tmp_path / "run", "--set", methods, "--requests", "3")
    assert done.returncode == 0, done.stderr
    assert f"copying {policy} for the containers (0 MiB): only the owner may read that" in done.stderr
    by_id = {row["request_id"]: row for row in read(tmp_path / "run", "requests.parquet")}
    failed = by_id.pop(left)
    assert (failed["outcome"], failed["tier"], len(by_id)) == ("inference", None, 2)
    for row in by_id.values():
        assert (row["tier"], row["thresholds"], row["window_seqs"]) == ("device", [0.25], [7])
    log = f"logs/{failed['path'][0]}.log"
    assert f"request {left}: SystemExit: 0" in (tmp_path / "run" / log).read_text()
    assert log in (tmp_path / "run" / "SHA256SUMS").read_text()
    assert not list(cache_dir().glob(".readable-*"))


def test_a_full_disk_is_one_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    """One that is full before the run, and one that others fill meanwhile."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=True, timeout=10)
    try:
        (small / "others").write_bytes(bytes(4_000_000))
        refused = run(small / "run")
        (small / "others").unlink()
        with running(small / "run", "--set", "trace.arrivals.rate=4") as process:
            wait_for(process, REPLAYING)
            wait_for_traffic(small / "run", "recserve")
            with pytest.raises(OSError, match="space"):
                (small / "others").write_bytes(bytes(5_000_000))
            output = rest_of_output(process)
            assert process.wait(60) == 1
        manifest, faithful = (
            read(small / "run", "manifest.json"),
            read(small / "run", "fidelity.json")["faithful"],
        )
        methods = {row["method"] for row in read(small / "run", "requests.parquet")}
        sealed = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
        subprocess.run(sealed, cwd=small / "run", check=True, timeout=60)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True, timeout=10)
    assert refused.returncode == 1
    assert "and its disk has 0.2 MB free; make room, name a directory" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in output
    why = f"{small}/run: no space left on its disk while the run went on; make room and run again"
    assert output.splitlines()[-1] == f"testbed: {why}"
    assert (manifest["status"], manifest["ended_by"]) == ("failed", why)
    assert methods == {"cloud-only", "recserve"}
    assert not faithful["quality"]
    assert wait_until_nothing_is_left() == []


def test_a_run_works_whatever_its_paths_are_called(tmp_path: Path) -> None:
    """Cache, scenario, a mounted file, temporary files and the run itself; the scenario behind a link."""
    odd = tmp_path / """r é 'x', "q" $HOME:b [""" / "bold]"
    (odd / "cache").mkdir(parents=True)
    (odd / "cache" / "assets").symlink_to(cache_dir() / "assets")
    (odd / "tmp").mkdir()
    policy = "from tiers.policies.recserve import RecServe\n\nclass Mine(RecServe):\n    pass\n"
    (odd / "my policy é.py").write_text(policy)
    text = SMOKE.read_text().replace("beta: 0.3", 'policy: "my policy é.py:Mine", beta: 0.3')
    (odd / "my scenario é.yaml").write_text(text)
    (tmp_path / "link").symlink_to(odd)
    done = subprocess.run(
        [*COMMAND, "run", str(tmp_path / "link" / "my scenario é.yaml"), "--requests", "5",
         "--out", str(odd / "out" / "r é")],
        cwd=odd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TESTBED_CACHE": str(odd / "cache"),
             "TMPDIR": str(odd / "tmp")},
        capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("run directory: out/r é\npage: out/r é/report.html\n")
    out = odd / "out" / "r é"
    assert len(check_bytes(out)) == 12
    check_prompt_bytes(out)
    assert read(out, "fidelity.json")["faithful"]["bytes"]
    assert list((odd / "tmp").iterdir()) == []
    assert run_command("report", str(out)).returncode == 0
    audited = run_command("audit", str(out))  # which has no rules for it, and nothing else to say
    assert "1 difference in" in audited.stderr
    assert "has no rules here" in audited.stdout
    assert wait_until_nothing_is_left() == []


def test_a_tier_that_is_killed_on_the_way_is_told(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with running(out, "--set", "trace.arrivals.rate=4") as process:
        wait_for(process, REPLAYING)
        wait_for_traffic(out, "recserve")
        edge = engine().containers.list(filters={"label": RUN_LABEL, "name": "edge1"})[0]
        edge.kill()
        output = rest_of_output(process)
        status = process.wait(120)
    assert status == 1
    assert "edge1" in output.strip().splitlines()[-1]
    assert "Traceback" not in output
    assert wait_until_nothing_is_left() == []
    assert {row["method"] for row in read(out, "requests.parquet")} == {"cloud-only", "recserve"}
    assert "edge1" in read(out, "manifest.json")["ended_by"]
    reasons = read(out, "fidelity.json")["reasons"]
    assert reasons["decisions"] == ["recserve: the records of edge1 are lost"]
    assert reasons["bytes"] == []


def test_lockstep_gives_the_same_decisions_and_prompt_bytes_again(tmp_path: Path) -> None:
    """The second time from what the first run left, with its captures compressed."""
    first, second = tmp_path / "first", tmp_path / "second"
    given = ("--set", "replay.mode=lockstep", "--requests", "12", "--set", "captures=compress")
    digests, prompts = [], []
    for out, scenario, arguments in ((first, SMOKE, given), (second, first, ())):
        done = run(out, *arguments, scenario=scenario)
        assert done.returncode == 0, done.stderr + done.stdout
        columns = ("request_id", "path", "confidences", "thresholds", "kept", "answer")
        rows = [[row[name] for name in columns] for row in read(out, "requests.parquet")]
        digests.append(hashlib.sha256(repr(rows).encode()).hexdigest())
        prompts.append(
            [(row["link"], row["method"], row["prompt_bytes"]) for row in read(out, "links.parquet")]
        )
    assert digests[0] == digests[1]
    assert prompts[0] == prompts[1]
    assert (first / "trace.jsonl").read_bytes() == (second / "trace.jsonl").read_bytes()
    assert {pcap.suffix for pcap in (second / "captures").glob("*/*")} == {".gz"}
    again = run_command("audit", str(second), "--wire")
    assert again.returncode == 0, again.stderr + again.stdout
    assert wait_until_nothing_is_left() == []
