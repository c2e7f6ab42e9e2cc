"""The interface for Python programs: what is exported, what it costs, and what a run gives."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import venv
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest

import testbed
from testbed.results import columns
from testbed.results.columns import TABLES
from tests import ROOT, SCENARIOS

RUN = ROOT / "tests" / "data" / "run-v1"
DOCUMENT = (ROOT / "docs" / "PYTHON.md").read_text()
FRAMES = ("requests", "links", "tiers", "events")
TYPES: dict[str, pa.DataType] = {
    "text": pa.string(), "real": pa.float64(), "integer": pa.int64(), "flag": pa.bool_()
}  # fmt: skip


def documented(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of docs/PYTHON.md, without their backquotes."""
    section = DOCUMENT.split(f"{heading}\n", 1)[1]
    _, _, *lines = re.findall(r"^\|.*\|$", section.split("\n#", 1)[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="module")
def run() -> testbed.Run:
    return testbed.load_run(RUN)


def test_what_is_exported_is_what_is_documented() -> None:
    section = DOCUMENT.split("## What there is\n", 1)[1].split("A `Run` reads", 1)[0]
    assert sorted(re.findall(r"^\| `(\w+)", section, re.MULTILINE)) == testbed.__all__
    assert set(testbed.__all__) <= set(dir(testbed))
    for name in testbed.__all__:
        assert getattr(testbed, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        testbed.nothing  # noqa: B018


def test_the_attributes_of_a_run_are_documented(run: testbed.Run) -> None:
    section = DOCUMENT.split("A `Run` reads", 1)[1].split("Types of columns", 1)[0]
    names = set(re.findall(r"`(\w+)(?:\([\w, ]*\))?`(?=[,\s].*\|)", section))
    assert {name for name in dir(run) if not name.startswith("_")} <= names


def test_importing_loads_nothing_large() -> None:
    program = "import sys, testbed; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    ).stdout.split()
    assert "testbed" in loaded
    large = {"aiohttp", "docker", "numpy", "pandas", "pyarrow", "pydantic", "rich", "scipy", "torch", "typer"}
    assert large.isdisjoint(loaded)


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_columns_of_its_table_as_documented(run: testbed.Run, name: str) -> None:
    schema = TABLES[f"{name}.parquet"]
    assert list(getattr(run, name).columns) == schema.names
    told = [(column.strip("`"), kind) for column, kind, _ in documented(f"### `{name}`")]
    types: list[tuple[str, pa.DataType]] = [
        (column, pa.list_(TYPES[kind.removeprefix("list of ")]) if "list" in kind else TYPES[kind])
        for column, kind in told
    ]
    assert schema.equals(pa.schema(types))


ROWS = (columns.RequestRow, columns.LinkRow, columns.TierRow, columns.EventRow)


@pytest.mark.parametrize(("name", "row"), [*zip(FRAMES, ROWS, strict=True)])
def test_a_column_is_documented_in_the_words_of_its_field(name: str, row: type) -> None:
    body = ast.parse(inspect.getsource(row)).body[0].body  # type: ignore[attr-defined]
    meanings = {column.strip("`"): meaning for column, _, meaning in documented(f"### `{name}`")}
    assert all(meanings.values())
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            words = " ".join(ast.literal_eval(text.value).replace("``", "`").split()).removesuffix(".")
            words = re.sub(r":mod:(`[\w.]+`)", r"\1", words)
            assert meanings[ast.unparse(field.target)].lower().endswith(words.lower())


def test_a_frames_types_are_the_same_whatever_it_holds(run: testbed.Run) -> None:
    assert run.requests["latency_ms"].dtype == "float64"
    assert run.requests["correct"].dtype == "boolean"
    assert run.links["frame_bytes"].dtype == run.links["held_frames"].dtype == "Int64"
    assert run.tiers["node"].dtype == "str"
    assert isinstance(run.requests["path"][0], list)
    assert run.links["held_frames"].isna().all()  # of schema version 1


def test_the_numbers_of_a_run_are_those_of_its_summary(run: testbed.Run) -> None:
    for method, figures in run.summary["methods"].items():
        requests = run.requests[run.requests["method"] == method]
        links = run.links[run.links["method"] == method]
        assert len(requests) == figures["requests"] == 12
        assert int(links["frame_bytes"].sum()) == figures["frame_bytes"] > 0
        assert int(links["prompt_bytes"].sum()) == figures["prompt_bytes"]
        assert float(requests["correct"].mean()) == pytest.approx(figures["accuracy"])
        assert sum(map(sum, requests["hop_prompt_bytes"])) == figures["prompt_bytes"]
    assert len(run.events) == 2 * len(run.scenario.events)
    assert run.requests is run.requests  # read once


def test_a_run_gives_its_files(run: testbed.Run) -> None:
    assert run.path == RUN
    assert run.manifest["status"] == "finished"
    assert set(run.fidelity["faithful"]) == {"bytes", "decisions", "quality", "latency"}
    assert [method.name for method in run.scenario.methods] == list(run.summary["methods"])
    assert run.pcap("recserve", "edge1-cloud1").stat().st_size > 0
    assert run.broken_seals() == []
    with pytest.raises(testbed.TestbedError, match=r"link 'core' under .*\('recserve', 'edge1-cloud1'\)"):
        run.pcap("recserve", "core")


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    manifest = (RUN / "manifest.json").read_text().replace('"events": [', '"events": [], "_": [')
    (tmp_path / "manifest.json").write_text(manifest)
    events = testbed.load_run(tmp_path).events
    assert events.empty
    assert list(events.columns) == TABLES["events.parquet"].names


def test_a_run_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}')
    with pytest.raises(testbed.TestbedError, match="schema version 99, and this testbed reads up to"):
        testbed.load_run(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plain_installation_reads_runs_and_says_what_running_needs(tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"

    def done(*command: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*map(str, command)],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    source = tmp_path / "source"  # building leaves files beside what it builds
    for package in ("testbed", "tiers"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    done(python, "-m", "pip", "install", "--quiet", "--no-compile", source)
    program = f"import testbed; print(len(testbed.load_run({str(RUN)!r}).requests))"
    assert done(python, "-c", program).stdout == "24\n"
    mend = r"is missing; install llm-testbed\[run\]\n"
    smoke = SCENARIOS / "smoke.yaml"
    program = f"import testbed; testbed.run(testbed.load_scenario({str(smoke)!r}))"
    assert re.search(rf"TestbedError: .* {mend}$", done(python, "-c", program, status=1).stderr)
    command = environment / "bin" / "testbed"
    assert "May it be believed" in done(command, "report", RUN).stdout
    assert "no difference" in done(command, "audit", RUN).stdout
    refused = done(command, "run", smoke, status=1)
    assert refused.stdout == ""
    assert re.fullmatch(rf"testbed: .* {mend}", refused.stderr)
