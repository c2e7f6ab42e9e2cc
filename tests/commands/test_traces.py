"""The commands of traces, as a user starts them."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from testbed.cli import main
from testbed.scenario.workload.trace_file import read_trace_file
from tests import ROOT, SCENARIOS
from tests.scenario.traces.samples import AZURE, AZURE_2023, AZURE_MISSING, BURSTGPT, MOONCAKE, NAMED, written

TRACES = ROOT / "traces"
MADE_BY = re.findall(r"^testbed trace .*$", (TRACES / "README.md").read_text(), re.MULTILINE)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """The exit status of a command of ``testbed trace``."""
    monkeypatch.setattr(sys, "argv", ["testbed", "trace", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_every_trace_of_the_repository_has_its_command_and_its_row() -> None:
    names = sorted(path.name for path in TRACES.glob("*.jsonl"))
    assert sorted(shlex.split(line)[-1].removeprefix("traces/") for line in MADE_BY) == names
    table = re.findall(r"^\| `(.*?)` \|", (TRACES / "README.md").read_text(), re.MULTILINE)
    assert sorted(table) == names


@pytest.mark.parametrize("line", MADE_BY)
def test_the_repositorys_traces_are_made_again_by_their_commands(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    *words, out = shlex.split(line)[2:]
    if words[0] == "import":
        if not AZURE:
            pytest.skip(AZURE_MISSING)
        words[2] = AZURE
    monkeypatch.chdir(ROOT)
    assert run(monkeypatch, *words, tmp_path / "again.jsonl") == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (ROOT / out).read_bytes()


def importing(kind: str, file: Path, *more: str, out: Path) -> list[str | Path]:
    """The words of an import, with prompts of the small data set."""
    return ["import", kind, file, "--dataset", "rotten_tomatoes", *more, "--out", out]


PAGE = re.findall(r"^testbed trace [^#\n]*", (ROOT / "docs" / "TRACES.md").read_text(), re.MULTILINE)


def test_the_pages_commands_do_what_they_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With a made-up file in the place of Azure's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").symlink_to(SCENARIOS)
    written(tmp_path, AZURE_2023, "AzureLLMInferenceTrace_conv.csv")
    assert [shlex.split(line)[2] for line in PAGE] == ["scenarios/quickstart.yaml", "build", "show", "import"]
    for line in PAGE:
        assert run(monkeypatch, *shlex.split(line)[2:]) == 0
    assert "300 requests" in capsys.readouterr().out
    assert [len(read_trace_file(tmp_path / f"{name}.jsonl").requests) for name in ("bursts", "azure")] == [
        300,
        1,
    ]


@pytest.mark.parametrize(
    ("kind", "text", "more"),
    [
        ("azure", AZURE_2023, ["--between", "0s,1min", "--time-scale", "0.5"]),
        ("burstgpt", BURSTGPT, ["--zipf", "1", "--rate-scale", "2"]),
        ("mooncake", MOONCAKE, ["--requests", "2"]),
        ("csv", NAMED, ["--time-column", "when", "--unit", "s", "--input-column", "asked"]),
    ],
)
def test_what_is_imported_can_be_shown(
    kind: str,
    text: str,
    more: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "trace.jsonl"
    assert run(monkeypatch, *importing(kind, written(tmp_path, text), *more, out=out)) == 0
    assert "bytes on average, where the trace has" in capsys.readouterr().err
    read = read_trace_file(out)
    assert run(monkeypatch, "show", out, "--json") == 0
    shape = json.loads(capsys.readouterr().out)
    assert shape["requests"] == len(read.requests) > 1
    assert shape["header"] == read.header
    assert run(monkeypatch, "show", out) == 0
    assert f"made_by: testbed trace import {kind}" in capsys.readouterr().out


NUMBERED = ["--time-column", "when", "--input-column", "asked", "--unit", "s"]


@pytest.mark.parametrize(
    ("kind", "text", "more", "words"),
    [
        ("azure", AZURE_2023[:-4], [], ":5: has 2 fields, and the header has 3; the line may be cut off"),
        ("azure", AZURE_2023[:-1], [], ":5: 'GeneratedTokens': has no value; the file may be cut off there"),
        ("mooncake", MOONCAKE[:-20], [], ":3: is not JSON; write one object a line"),
        ("azure", BURSTGPT, [], "it looks like BurstGPT: testbed trace import burstgpt"),
        ("burstgpt", "<html>\n", [], ": has no column 'Timestamp'; it has '<html>'"),
        ("csv", "when,asked\n2,30\n1,30\n", NUMBERED, ":3: 'when': 1 is before the time above, 2; sort the"),
        ("csv", "when,asked\n2,30\n3,-30\n", NUMBERED, ":3: 'asked': -30 is negative"),
        ("csv", "when,asked\n2,99999999\n", NUMBERED, ":2: 'asked': 99999999 tokens are more than 10,000"),
        ("csv", "when,asked\n20,30\n27000,30\n", NUMBERED, ":3: 'when': 27000 is 1,350 times the time above"),
        ("csv", "when,asked\n20,30\n20500000,30\n", NUMBERED, "two units in one file; write all times"),
        ("csv", "when,asked\n5,30\n5100,30\n", NUMBERED, "two units in one file; write all times in one"),
        ("csv", NAMED, NUMBERED[:4], ":2: 'when': in which unit is 0.25? give --unit, one of s, ms"),
        ("csv", "when,asked\n11/16/2023 18:15,3\n", NUMBERED[:4], "is neither"),
        ("csv", NAMED, [*NUMBERED, "--output-column", "asked"], "--output-column: 'asked' is the --input"),
        ("azure", AZURE_2023, ["--between", "11min,20min"], "--between: no request is between 11min and"),
    ],
)
def test_what_cannot_be_imported_is_one_sentence_and_leaves_no_file(
    kind: str,
    text: str,
    more: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = written(tmp_path, text)
    assert run(monkeypatch, *importing(kind, file, *more, out=tmp_path / "trace.jsonl")) == 1
    printed = capsys.readouterr()
    *progress, sentence = printed.err.splitlines()
    assert all(line.endswith(f"s  reading {file}") for line in progress)
    assert sentence.startswith("testbed: ")
    assert words in sentence
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == [file]


def test_a_last_line_that_has_no_end_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = written(tmp_path, AZURE_2023)
    assert run(monkeypatch, *importing("azure", file, out=tmp_path / "trace.jsonl")) == 0
    assert f"{file}: row 4, the last one, has no line end; if the file was cut off" in capsys.readouterr().err


def test_without_a_file_to_write_lines_go_to_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(monkeypatch, "build", "--dataset", "rotten_tomatoes", "--requests", "3", "--rate", "1")
    lines = capsys.readouterr().out.splitlines()
    assert (status, len(lines)) == (0, 4)
    assert json.loads(lines[0])["trace"]["requests"] == 3


def test_of_is_what_a_scenario_alone_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = []
    for words in (["of"], [], ["--requests", "20"]):
        assert run(monkeypatch, *words, SCENARIOS / "smoke.yaml") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] == printed[2]
    assert len(printed[0].splitlines()) == 21
