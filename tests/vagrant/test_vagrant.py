"""What the trial reads of the Vagrantfile stands there, and pip's settings reach the machine whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.vagrant.settings import directories, files, pip_file
from tests.vagrant.vagrantfile import read_vagrantfile


def test_the_vagrantfile_is_read() -> None:
    asked = read_vagrantfile()
    assert (asked.release, asked.hostname, asked.copied_to) == ("bookworm", "llm-testbed", "/testbed")
    assert (asked.cpus, asked.memory_mb) == (2, 8192)
    assert asked.provision == "exec bash /testbed/testbed/provision.sh --prepared"
    assert {"/.venv", "/results/"} <= set(asked.excluded)
    assert {"TORCH_INDEX_URL", "https_proxy"} <= set(asked.passed_on)


def test_nothing_that_the_repository_has_is_left_out() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert "testbed/results/directory.py" in tracked
    for name in read_vagrantfile().excluded:
        assert name.startswith("/"), f"rsync would leave out {name} in every directory"
        assert [path for path in tracked if f"/{path}".startswith(name)] == []


def test_what_pip_needs_of_the_host_is_found_in_its_settings(tmp_path: Path) -> None:
    index, wheels, constraints = tmp_path / "index" / "simple", tmp_path / "wheels", tmp_path / "constraints"
    for directory in (index, wheels):
        directory.mkdir(parents=True)
    constraints.touch()
    settings = {
        "extra-index-url": f"https://example.org/simple file://{index}",
        "find-links": str(wheels),
        "constraint": str(constraints),
        "timeout": "60",
    }
    assert directories(settings) == [index.parent, wheels]
    assert files(settings) == [constraints]
    written = tmp_path / "pip.conf"
    written.write_text(pip_file(settings | {"find-links": f"{wheels} {index}"}))
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": str(written)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"global.find-links='\\n{wheels}\\n{index}'" in listed
    assert "global.timeout='60'" in listed  # pip takes no line break in what is no list


@pytest.mark.parametrize(
    ("module", "first"), [("tests.vagrant", "qemu-system-x86"), ("tests.vagrant.chroot", "mmdebstrap")]
)
def test_a_trial_tells_what_it_needs_without_doing_anything(module: str, first: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert f"apt-get install {first}" in told
    assert "--keep DIR" in told
