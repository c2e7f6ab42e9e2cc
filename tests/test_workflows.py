"""The workflow files of docs/workflows do what docs/howto/ci.md says; none was run on a hosted runner."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.results.expectation import parse_expectation
from testbed.scenario.scenario import load_scenario
from tests import ROOT
from tests.e2e.runs import RUN_TIMEOUT_S
from tests.test_cli import command

WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
HOSTED = ROOT / "docs/workflows/hosted-runner.yml"
VAGRANT = ROOT / "docs/workflows/vagrant.yml"
FETCHING = {HOSTED: "Give the runner's user what root wrote", VAGRANT: "Fetch the run"}
"""The step after the run, from which the files are the runner's."""
THERE = {"HOME": "/root", "RUNNER_TEMP": "/tmp"}
"""Variables that a runner has."""
STEP_KEYS = {"name", "if", "uses", "with", "run"}
RUN = "Run the scenario"

each_file = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    """The file; YAML 1.1 has ``on`` for true."""
    workflow: dict[str, Any] = yaml.safe_load(path.read_text())
    return workflow


def steps(path: Path) -> list[dict[str, Any]]:
    (job,) = read(path)["jobs"].values()
    return list(job["steps"])


def script(path: Path, name: str) -> str:
    (step,) = [step for step in steps(path) if step.get("name") == name]
    return str(step["run"])


def run_words(path: Path) -> list[str]:
    """The words of the file's ``testbed run``, its variables replaced."""
    words = shlex.split(script(path, RUN).replace("\\\n", " "))
    if words[0] == "vagrant":
        words = shlex.split(words[words.index("-c") + 1])
    words = words[words.index(".venv/bin/testbed") + 1 :]
    return [word.replace("$SCENARIO", read(path)["env"]["SCENARIO"]) for word in words]


def test_there_is_one_file_for_each_kind_of_runner() -> None:
    assert [path.name for path in WORKFLOWS] == ["hosted-runner.yml", "vagrant.yml"]


@each_file
def test_the_keys_are_those_of_a_workflow(path: Path) -> None:
    workflow = read(path)
    assert set(workflow) == {"name", True, "permissions", "env", "jobs"}
    (job,) = workflow["jobs"].values()
    assert set(job) == {"runs-on", "timeout-minutes", "steps"}
    for step in job["steps"]:
        assert set(step) <= STEP_KEYS
        assert ("run" in step) != ("uses" in step)
        assert step.get("if", "always()") == "always()"
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/checkout@v1"))


@each_file
def test_every_script_is_one_and_names_variables_that_there_are(path: Path) -> None:
    known = {*read(path)["env"], *THERE}
    for step in steps(path):
        lines = step.get("run", "")
        done = subprocess.run(
            ["shellcheck", "--shell=bash", "-"], input=lines, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
        assert set(re.findall(r"\$\{?([A-Z_]+)", lines)) <= known


@each_file
def test_every_file_that_is_named_is_there(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"(?:scenarios|testbed|tiers|docs)/[\w./-]+\.[a-z]+|[a-z]+\.lock", text))
    assert len(named) >= 2
    assert [name for name in named if not (ROOT / name).exists()] == []
    for program in re.findall(r"\.venv/bin/(\w+)", text):
        assert f"{program} =" in (ROOT / "pyproject.toml").read_text()


@each_file
def test_the_command_is_taken_and_so_is_what_it_expects(path: Path) -> None:
    words = run_words(path)
    done = command(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing was started" in done.stdout
    scenario = load_scenario(ROOT / words[1])
    expected = [parse_expectation(after, scenario) for word, after in pairwise(words) if word == "--expect"]
    assert len(expected) == 4


@each_file
def test_the_run_is_kept_whether_or_not_it_is_as_expected(path: Path) -> None:
    words = run_words(path)
    after = steps(path)[[step.get("name") for step in steps(path)].index(RUN) + 1 :]
    assert all(step["if"] == "always()" for step in after)
    (kept,) = [
        step["with"]["path"] for step in after if step.get("uses", "").startswith("actions/upload-artifact")
    ]
    assert kept == words[words.index("--out") + 1]


def carried_out(lines: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a step's script as a runner does (``bash -e``), on a small scenario; the tests are root already.

    The Vagrantfile's machine is a directory beside: ``vagrant ssh -c`` and ``ssh`` hand their last word to a
    shell, as there.
    """
    runner, machine, temporary = (directory / name for name in ("runner", "machine", "temporary"))
    for each in (runner, machine, temporary):
        each.mkdir(exist_ok=True)
    lines = re.sub(r"(cd|-C) /testbed\b", rf"\1 {machine}", lines)
    lines = lines.replace(".venv/bin/testbed", f"{sys.executable} -m testbed.cli")
    environment = {
        **os.environ,
        "SCENARIO": str(ROOT / "scenarios" / "smoke.yaml"),
        "HOME": str(directory / "home"),
        "RUNNER_TEMP": str(temporary),
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.run(
        ["bash", "-e", "-c", f"{ELSEWHERE}\n{lines}"],
        cwd=runner, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False,
    )  # fmt: skip


ELSEWHERE = """
sudo() { env "$@"; }
there() { bash -c "${!#}"; }
ssh() { there "$@"; }
vagrant() { [ "$1" = ssh-config ] || there "$@"; }
export -f sudo
"""


@pytest.mark.parametrize("path", FETCHING, ids=lambda path: path.name)
def test_what_is_expected_comes_through_the_shells_as_it_is_written(path: Path, tmp_path: Path) -> None:
    asked = script(path, RUN).replace("--requests 30", "--requests 30 --dry-run")
    done = carried_out(asked, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "requests  30 under each method" in done.stdout
    mistaken = carried_out(asked.replace("cloud_only<0.8", "cloud_only < x"), tmp_path)
    assert mistaken.returncode == 2
    assert "'recserve.burden_vs_cloud_only < x'" in mistaken.stderr


@pytest.mark.docker
@pytest.mark.parametrize("bound", ["0.8", "0.001"])
@pytest.mark.parametrize("path", FETCHING, ids=lambda path: path.name)
def test_the_job_fails_exactly_if_the_run_is_not_as_expected(path: Path, tmp_path: Path, bound: str) -> None:
    asked = script(path, RUN).replace("burden_vs_cloud_only<0.8", f"burden_vs_cloud_only<{bound}")
    done = carried_out(asked, tmp_path)
    found = "as expected: faithful.bytes==true" in done.stdout
    assert (done.returncode, found) == ((0, True) if bound == "0.8" else (1, False)), done.stderr
    if bound != "0.8":
        assert "testbed: --expect recserve.burden_vs_cloud_only<0.001: it is 0." in done.stderr
    assert carried_out(script(path, FETCHING[path]), tmp_path).returncode == 0
    assert (tmp_path / "runner" / "results" / "ci" / "summary.json").is_file()
