"""Every kept input still ends as it did: taken, or refused in one sentence, in bounded time and memory."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed.errors import TestbedError
from testbed.scenario.scenario import load_scenario
from tests import ROOT, SCENARIOS
from tests.corpus.feeds import FEEDS, RUN, command, refusal
from tests.corpus.replay import KEPT, kept
from tests.study.sweep.made import made_sweep

KINDS = [*FEEDS, "http"]
REPLAY_S = 550


def replayed(*options: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.corpus.replay", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=REPLAY_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {outcome["name"]: outcome for outcome in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, Any]]:
    return replayed()


def as_expected(path: Path, outcomes: dict[str, dict[str, Any]]) -> None:
    outcome = outcomes[str(path.relative_to(KEPT))]
    assert outcome["defect"] is None, outcome["defect"]
    assert path.parent.name == ("taken" if outcome["refusal"] is None else "refused"), outcome["refusal"]


@pytest.mark.timeout(REPLAY_S + 10)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kept_input_ends_as_it_is_expected_to(kind: str, outcomes: dict[str, dict[str, Any]]) -> None:
    paths = kept(kind, slow=False)
    assert paths
    for path in paths:
        as_expected(path, outcomes)


@pytest.mark.slow
@pytest.mark.timeout(REPLAY_S + 10)
def test_every_large_kept_input_does_too() -> None:
    large = replayed("--slow")
    assert large
    for kind in KINDS:
        for path in kept(kind, slow=True):
            as_expected(path, large)


def directory(path: Path) -> None:
    path.mkdir()


def pipe_that_nobody_writes_to(path: Path) -> None:
    os.mkfifo(path)


def dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def device_without_end(path: Path) -> None:
    path.symlink_to("/dev/zero")


def device_that_is_empty(path: Path) -> None:
    path.symlink_to("/dev/null")


def socket_of_a_program(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener, tempfile.TemporaryDirectory() as short:
        listener.bind(f"{short}/socket")  # an address holds fewer letters than a path
        Path(short, "socket").rename(path)


def file_of_the_kernel_without_end(path: Path) -> None:
    path.symlink_to("/proc/kmsg")


STRANGE: list[Callable[[Path], None]] = [
    directory,
    pipe_that_nobody_writes_to,
    dangling_link,
    link_to_itself,
    device_without_end,
    device_that_is_empty,
    socket_of_a_program,
]
"""What may be where a file should be."""
BY_OVERRIDE = {
    "recorded answers": "tiers.cloud.model={{kind: recorded, path: {}}}",
    "data set": "task.dataset={{file: {}, text: question, reference: label}}",
    "checkpoint": "tiers.cloud.model={{kind: transformers, path: {}}}",
    "model": "tiers.cloud.model={}:Mine",
    "policy": "methods.recserve.policy={}:Mine",
    "confidence": "tiers.cloud.model={{kind: recorded, service: 5ms, confidence: '{}:Mine'}}",
    "task": "task.kind={}:Mine",
    "calibration": "calibration={{file: {}}}",
    "gguf": "tiers.cloud.model={{kind: engine, engine: llama.cpp, gguf: {}}}",
    "certificates": "tiers.cloud.model={{kind: openai, url: https://gpu.example/v1, model: m, ca: {}}}",
}
"""By what a scenario names: what is to be set, with the path."""


def soon(work: Callable[[], str | None]) -> str | None:
    """What ``work`` says. In a thread of its own, for reading a pipe could last for ever."""
    said: list[str | None] = []
    thread = threading.Thread(target=lambda: said.append(work()), daemon=True)
    thread.start()
    thread.join(60)
    assert said, "it waits, or it failed"
    return said[0]


@pytest.fixture(params=[*STRANGE, file_of_the_kernel_without_end], ids=lambda make: make.__name__)
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "strange.py"  # what a policy's file is called
    request.param(path)
    return path


@pytest.mark.parametrize("what", ["trace", "map", "rate-file", "delay-file", *BY_OVERRIDE])
def test_what_is_no_file_is_refused_where_a_scenario_names_it(strange: Path, what: str) -> None:
    def named(path: Path) -> None:
        if what in FEEDS:
            FEEDS[what](path)
        else:
            load_scenario(SCENARIOS / "smoke.yaml", [BY_OVERRIDE[what].format(path)])

    assert str(strange) in (soon(lambda: refusal(named, strange)) or "")


@pytest.mark.parametrize("value", ["/", "/etc", "/proc/self", "/root", "/var/lib/docker"])
def test_a_directory_of_the_system_is_no_model_and_no_data_set(value: str) -> None:
    for key, override in {
        "tiers.cloud.model.path": f"tiers.cloud.model={{kind: transformers, path: {value}}}",
        "task.dataset.path": f"task.dataset={{name: sst2, path: {value}}}",
    }.items():
        with pytest.raises(TestbedError, match=rf"{key}: '{value}'.* is a directory of the system|no such"):
            load_scenario(SCENARIOS / "smoke.yaml", [override])


def test_a_checkpoint_with_what_is_no_file_in_it_is_refused(strange: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_text("{}")
    strange.rename(model / "vocab.txt")
    if (model / "vocab.txt").is_dir():
        return  # of which nothing is loaded

    def named(path: Path) -> None:
        load_scenario(SCENARIOS / "smoke.yaml", [f"tiers.cloud.model={path}"])

    assert str(model / "vocab.txt") in (soon(lambda: refusal(named, model)) or "")


def test_what_a_class_has_learnt_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "mine.json").symlink_to("/etc/shadow")
    with pytest.raises(TestbedError, match=r"policy: .*/mine\.json, which its class is given, leads to"):
        load_scenario(SCENARIOS / "smoke.yaml", [f"methods.recserve.policy={tmp_path}/mine.py:Mine"])


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("rows.csv", "task.dataset={{file: {}, text: text, reference: label}}"),
        ("mine.py", "methods.recserve.policy={}:Mine"),
    ],
)
def test_a_file_without_end_in_sight_is_not_read(name: str, override: str, tmp_path: Path) -> None:
    """8 TB, of which no byte is on a disk, would be read for hours."""
    with (tmp_path / name).open("wb") as file:
        file.truncate(8 << 40)

    def named(path: Path) -> None:
        load_scenario(SCENARIOS / "smoke.yaml", [override.format(path)])

    assert "; cut it" in (soon(lambda: refusal(named, tmp_path / name)) or "")


def test_what_is_no_file_is_refused_as_a_scenario(strange: Path) -> None:
    said = soon(lambda: refusal(load_scenario, strange))
    assert str(strange) in (said or "")


OF_A_RUN = ["manifest.json", "summary.json", "fidelity.json", "links.parquet", "trace.jsonl", "SHA256SUMS"]
AS_ANY = [directory, pipe_that_nobody_writes_to]
"""In the place of each file of a run; the others are refused by what they are, and so in the place of one."""


@pytest.mark.parametrize(
    ("make", "name"),
    [(make, name) for make in STRANGE for name in (OF_A_RUN if make in AS_ANY else OF_A_RUN[1:2])],
)
def test_what_is_no_file_is_refused_in_a_run(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    (run / name).unlink()
    make(run / name)
    for read in ("report", "audit"):
        said = refusal(lambda path, read=read: command(read, str(path)), run)  # type: ignore[misc]
        needed = read == "report" or name in ("manifest.json", "SHA256SUMS")
        assert (str(run) in (said or "")) or not needed, read


@pytest.mark.parametrize("make", STRANGE, ids=lambda make: make.__name__)
def test_what_is_no_file_is_refused_as_a_capture(make: Callable[[Path], None], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    pcap = run / "captures" / "recserve" / "device1-edge1.pcap"
    pcap.unlink()
    make(pcap)
    for arguments in (("packets", str(run), "recserve", "device1-edge1"), ("audit", str(run), "--wire")):
        said = soon(lambda: refusal(lambda _: command(*arguments), run))  # noqa: B023
        assert str(run) in (said or "")


@pytest.mark.parametrize("make", STRANGE, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["sweep.json", "points/0001/manifest.json", "points/0001.failed"])
def test_what_is_no_file_is_refused_or_left_out_in_a_sweep(
    make: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    sweep = made_sweep(tmp_path / "sweep", []).path
    (sweep / name).unlink(missing_ok=True)
    make(sweep / name)
    said = soon(lambda: refusal(lambda path: command("report", str(path)), sweep))
    assert name != "sweep.json" or str(sweep) in (said or "")
