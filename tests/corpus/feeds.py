"""Hands an input to the part of the testbed that reads its kind, as a user would."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

from testbed.cli import main
from testbed.errors import TestbedError
from testbed.report.run_page import render_run_page
from testbed.results import seals
from testbed.results.run import load_run
from testbed.results.seals import SUMS
from testbed.scenario.matrix import read_matrix
from testbed.scenario.recordings import check_recordings
from testbed.scenario.requests import build_trace
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.traces.formats import FORMATS, with_columns
from testbed.scenario.traces.ground import ground
from testbed.scenario.traces.importing import Wanted, import_trace
from testbed.scenario.workload.trace_file import read_trace_file, write_trace
from testbed.study.sweep.directory import POINTS, SWEEP
from testbed.wire.account import account
from testbed.wire.pcap import count_frames
from tests import ROOT, SCENARIOS
from tests.wire.crafted import ENDS, assert_exact, assert_same_by_frame

RUN = ROOT / "tests" / "data" / "run-v1"
TODAYS = ROOT / "tests" / "data" / "run-v6"
PCAP = "device1-cloud1.pcap"
"""A capture of the latter, of method recserve."""
LONGEST_SENTENCE = 4096
GONE = ".gone"
"""Ends the name of an input that stands for a file of a run that is not there."""

Feed = Callable[[Path], object]
"""Takes an input's file.

Raises:
    TestbedError: it is refused. Anything else is a defect.
"""


def refusal(feed: Feed, path: Path) -> str | None:
    """The sentence with which an input is refused; ``None`` if it is taken."""
    try:
        feed(path)
    except TestbedError as error:
        sentence = str(error)
        assert sentence, "it is refused without a word"
        assert sentence.isprintable(), f"not one line of text: {sentence!r}"
        assert len(sentence) <= LONGEST_SENTENCE, f"a sentence of {len(sentence)} characters"
        return sentence
    return None


def scenario(path: Path) -> None:
    """A scenario, read beside the repository's maps and traces; one that is taken survives a manifest."""
    folder = path.parent / "scenarios"
    if not folder.exists():
        folder.mkdir()
        (folder / "graphs").symlink_to(SCENARIOS / "graphs")
        (path.parent / "traces").symlink_to(ROOT / "traces")
    beside = folder / "input.yaml"
    beside.write_bytes(path.read_bytes())
    _survives(load_scenario(beside))


def override(path: Path) -> None:
    """What stands behind ``--set``, as the command line has it: a line for each."""
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    _survives(load_scenario(SCENARIOS / "smoke.yaml", text.split("\n")))


def _survives(loaded: Scenario) -> None:
    text = json.dumps(loaded.model_dump(mode="json"), ensure_ascii=False, allow_nan=False).encode()
    assert Scenario.model_validate(json.loads(text)) == loaded


def _in_scenario(name: str, old: str, new: str) -> Feed:
    """A file that a scenario of the repository names, in place of its own."""
    text = (SCENARIOS / name).read_text()
    assert old in text

    def feed(path: Path) -> None:
        beside = path.parent / f"with-{path.name}.yaml"
        beside.write_text(text.replace(old, new.format(json.dumps(str(path))), 1))
        loaded = load_scenario(beside)
        if loaded.trace.kind == "file":
            build_trace(loaded)

    return feed


def pcap(path: Path) -> None:
    """A capture; of one that is taken, each byte has its cause, frame by frame too."""
    result = account(path, ENDS)
    assert_exact(result)
    assert_same_by_frame(path, ENDS, result)
    frames, frame_bytes = count_frames(path)
    assert frames == result.up.frames + result.down.frames
    assert frame_bytes == result.up.frame_bytes + result.down.frame_bytes


def recorded(path: Path) -> None:
    """Answers of earlier inferences, as they are looked through before a run starts."""
    model = f"{{kind: recorded, path: {json.dumps(str(path))}, service: 1ms, missing: made-up}}"
    loaded = load_scenario(SCENARIOS / "smoke.yaml", [f"tiers.cloud.model={model}"])
    check_recordings(loaded, ())


def data_set(path: Path) -> None:
    """A user's own data set: CSV, JSON Lines or Parquet, by the ending of its name."""
    columns = f"{{file: {json.dumps(str(path))}, text: question, reference: label, name: mine}}"
    loaded = load_scenario(SCENARIOS / "smoke.yaml", [f"task={{kind: classification, dataset: {columns}}}"])
    build_trace(loaded)
    _survives(loaded)


def imported(path: Path) -> None:
    """A trace that others recorded, in the format that its name begins with (``azure-…``); one that is taken
    becomes a trace file."""
    name = path.name.partition("-")[0]
    kind = FORMATS[name]
    if name == "csv":
        kind = with_columns(kind, "when", "asked", None, "s")
    made = import_trace(Wanted(path, name, kind, ground("rotten_tomatoes", None, None, None, 0.0, None)))
    requests, beside = list(made.requests), path.parent / "made.jsonl"
    write_trace(requests, beside, made.header)
    assert read_trace_file(beside).requests == requests


def run(path: Path) -> None:
    """A run directory in which one file is another, or is gone: the part of the name from the first dot on
    says which (``truncated.requests.parquet``, ``lost.summary.json.gone``)."""
    _refused_by(_edited(RUN, path), (_load, _report, _audit))


def sealed_run(path: Path) -> None:
    """The same with a run of today, sealed again after the change, and for every command that reads runs."""
    directory = _edited(TODAYS, path)
    if not path.name.endswith((SUMS, f"{SUMS}{GONE}")):
        seals.seal(directory)
    if path.name.endswith((PCAP, f"{PCAP}{GONE}")):
        _refused_by(directory, (_packets, _wire))
    else:
        for one in (
            _what_if,
            _plan,
        ):  # which refuse the run in any case: it is small, and its answers made up
            refusal(one, directory)
        _refused_by(directory, (_load, _report, _audit, _page, _compare, _packets))


def sweep(path: Path) -> None:
    """The description of a sweep that has one point."""
    directory = path.parent / "sweep"
    shutil.rmtree(directory, ignore_errors=True)
    (directory / POINTS).mkdir(parents=True)
    (directory / SWEEP).write_bytes(path.read_bytes())
    shutil.copytree(TODAYS, directory / POINTS / "0001")
    _refused_by(directory, (_report, _compare))


def _edited(run: Path, path: Path) -> Path:
    """A copy of a run in which the file that the name of ``path`` says is that one, or is gone."""
    directory = path.parent / "run"
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(run, directory)
    name = path.name.partition(".")[2].removesuffix(GONE)
    target = directory / ("captures/recserve" if name == PCAP else "") / name
    target.unlink(missing_ok=True)
    if not path.name.endswith(GONE):
        target.write_bytes(path.read_bytes())
    return directory


def _refused_by(directory: Path, reads: Sequence[Feed]) -> None:
    """Have each read it, and raise the first refusal."""
    refused = [sentence for one in reads if (sentence := refusal(one, directory))]
    if refused:
        raise TestbedError(refused[0])


def _load(directory: Path) -> None:
    loaded = load_run(directory)
    for name in ("requests", "links", "tiers", "events", "summary", "fidelity", "manifest", "scenario"):
        getattr(loaded, name)
    loaded.broken_seals()


def _report(directory: Path) -> None:
    command("report", str(directory))


def _audit(directory: Path) -> None:
    command("audit", str(directory))


def _wire(directory: Path) -> None:
    command("audit", str(directory), "--wire")


def _page(directory: Path) -> None:
    render_run_page(load_run(directory))


def _compare(directory: Path) -> None:
    command("compare", str(directory))


def _packets(directory: Path) -> None:
    command("packets", str(directory), "recserve", "device1-cloud1", "--limit", "3")


def _what_if(directory: Path) -> None:
    command("what-if", str(directory))


def _plan(directory: Path) -> None:
    command("plan", str(SCENARIOS / "smoke.yaml"), "--pilot", str(directory))


def command(*arguments: str) -> None:
    """A command line, in this process.

    Raises:
        TestbedError: it ended with a status that is not 0; the message is what it said.
    """
    said, printed = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["testbed", *arguments]),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(printed),
    ):
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise TestbedError(said.getvalue().removesuffix("\n")) from None


FEEDS: dict[str, Feed] = {
    "scenario": scenario,
    "override": override,
    "trace": _in_scenario(
        "smoke.yaml",
        "trace: {requests: 20, arrivals: {process: poisson, rate: 10}, seed: 1}",
        "trace: {{file: {}}}",
    ),
    "map": _in_scenario("graph.yaml", "file: graphs/europe.graphml", "file: {}"),
    "rate-file": _in_scenario("rate-file.yaml", "rate_file: ../traces/up-and-down.mahi", "rate_file: {}"),
    "delay-file": _in_scenario("lossy.yaml", "file: ../traces/wandering.delays", "file: {}"),
    "pcap": pcap,
    "recorded": recorded,
    "matrix": read_matrix,
    "data-set": data_set,
    "import": imported,
    "run": run,
    "sealed-run": sealed_run,
    "sweep": sweep,
}
"""By kind, which is the name of its folder too. HTTP requests go to a server (``tests.corpus.served``)."""
