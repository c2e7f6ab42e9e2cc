"""Provisioning and packaging: complete, repeatable, and bound to no one's network."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml

from tests import ROOT

PROVISION = ROOT / "testbed" / "provision.sh"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _locked(file: str = "requirements.lock") -> dict[str, str]:
    pairs = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower(): pinned for name, pinned in pairs}


def test_the_environment_has_exactly_the_locked_versions() -> None:
    def installed(name: str) -> str:
        try:
            return version(name).partition("+")[0]
        except PackageNotFoundError:
            return "missing"

    locked = _locked() | _locked("tests/requirements.lock")
    assert {name: installed(name) for name in locked} == locked


@pytest.mark.parametrize("file", ["requirements.lock", "tests/requirements.lock", "tiers/requirements.lock"])
def test_every_pin_has_the_hashes_of_its_wheels(file: str) -> None:
    text = (ROOT / file).read_text()
    pins = re.findall(r"^[\w.-]+==\S+((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    assert len(pins) == len(_locked(file))


def test_what_tests_alone_need_is_left_out_of_what_users_get() -> None:
    assert "ray" in _locked("tests/requirements.lock")
    assert not _locked().keys() & _locked("tests/requirements.lock").keys()


def test_every_dependency_of_the_project_is_locked() -> None:
    project = PROJECT["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=]", line)[0]).lower() for line in wanted}
    assert names <= set(_locked())


def test_the_second_provisioning_is_done_at_once_and_has_nothing_to_say() -> None:
    subprocess.run([PROVISION], check=True, timeout=1800, stdin=subprocess.DEVNULL)
    started_at = time.monotonic()
    again = subprocess.run(
        [PROVISION], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=True
    )
    assert (again.stdout, again.stderr) == ("", "")
    assert time.monotonic() - started_at < 5


@pytest.mark.parametrize("name", ["plain", "a tést, with 'quotes' and $signs"])
def test_a_python_that_is_too_old_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    """The script from another root with another interpreter, which says that it is 3.10."""
    python = tmp_path / "python3"
    tmp_path = tmp_path / name
    tmp_path.mkdir()
    python.write_text('#!/bin/sh\ncase "$2" in *version_info*) echo 310 ;; esac\n')
    python.chmod(0o755)
    script = tmp_path / "testbed" / "provision.sh"
    script.parent.mkdir()
    script.write_text(PROVISION.read_text().replace("python=/usr/bin/python3", f"python={python}"))
    (tmp_path / "requirements.lock").touch()
    refused = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert refused.stderr == f"provision: {python} is older than 3.11; use Debian 12, Ubuntu 24.04 or newer\n"
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_a_torch_without_its_libraries_is_refused_before_anything_else_is_fetched(tmp_path: Path) -> None:
    """A build as for CUDA: what it is linked with is not there. It stands alone in the index of torch."""
    script, index = tmp_path / "checkout" / "testbed" / "provision.sh", tmp_path / "simple" / "torch"
    for directory in (script.parent, index):
        directory.mkdir(parents=True)
    script.write_text(PROVISION.read_text())
    (tmp_path / "checkout" / "pyproject.toml").touch()
    (tmp_path / "checkout" / "requirements.lock").write_text(
        "torch==2.13.0 \\\n    --hash=sha256:0\nno-such==1\n"
    )
    information = "torch-2.13.0.dist-info"
    texts = {
        "torch/__init__.py": "",
        "torch/lib/libtorch_global_deps.so": "linked with what is not here",
        f"{information}/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": "",
    }
    with zipfile.ZipFile(index / "torch-2.13.0-py3-none-any.whl", "w") as wheel:
        for name, text in texts.items():
            wheel.writestr(name, text)
    (index / "index.html").write_text('<a href="torch-2.13.0-py3-none-any.whl">torch</a>')
    refused = subprocess.run(
        ["bash", script], capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
        env={
            "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull,
            "TORCH_INDEX_URL": f"file://{index.parent}",
        },
    )  # fmt: skip
    assert refused.returncode == 1
    assert refused.stderr.startswith("provision: this build of torch cannot be loaded here")
    assert "TORCH_CUDA=yes" in refused.stderr
    assert refused.stdout.splitlines()[-2].startswith("==> torch-2.13.0-py3-none-any.whl")


@pytest.mark.parametrize("name", ["a:b", "a\nb"])
def test_a_checkout_where_no_environment_can_be_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    script = tmp_path / name / "testbed" / "provision.sh"
    script.parent.mkdir(parents=True)
    script.write_text(PROVISION.read_text())
    refused = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    why = "for the colon or line break in its name; move the checkout"
    assert refused.stderr == f"provision: Python makes no environment in {tmp_path / name}, {why}\n"


def test_a_scenario_with_a_blank_in_its_name_is_one_argument_to_make() -> None:
    command = ["make", "--dry-run", "demo", "SCENARIO=my scén.yaml", "AS_ROOT="]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.splitlines()[-1].split("testbed run ")[1].strip() == '"my scén.yaml"'


@pytest.mark.root
def test_packages_are_wanted_of_a_user_who_cannot_install_them_in_one_sentence(tmp_path: Path) -> None:
    """An ordinary user without sudo, on a host that lacks a command."""
    script = tmp_path / "testbed" / "provision.sh"
    script.parent.mkdir()
    text = PROVISION.read_text().replace("required=(", "required=(\n    no-such-command:tcpdump")
    script.write_text(text.replace("! present sudo", "! present no-such-sudo"))
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    refused = subprocess.run(
        ["bash", script], capture_output=True, text=True, timeout=60, user=65534, group=65534, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr == "provision: tcpdump must be installed; run this as root or with sudo\n"


def test_pytest_alone_deselects_whatever_needs_more_than_python() -> None:
    options = PROJECT["tool"]["pytest"]["ini_options"]
    names = {marker.partition(":")[0] for marker in options["markers"]}
    deselected = options["addopts"][-1]
    assert set(re.findall(r"not (\w+)", deselected)) == names


def test_the_console_script_is_installed() -> None:
    assert (Path(sys.prefix) / "bin" / "testbed").exists()
    assert PROJECT["project"]["scripts"] == {"testbed": "testbed.cli:main"}


def test_the_citation_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = PROJECT["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_nothing_committed_names_a_registry_host() -> None:
    """Mirrors are the host's to choose, by the settings of apt, pip and Docker."""
    hosts = [
        ".".join(name) for name in (("pypi", "org"), ("files", "pythonhosted"), ("deb", "debian", "org"))
    ]
    hosts += [".".join(name) for name in (("registry", "npmjs"), ("docker", "io/"), ("download", "pytorch"))]
    pattern = "|".join(re.escape(host) for host in hosts)
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.stdout == ""


@pytest.fixture(scope="module", params=["core.autocrlf=true", "core.eol=crlf"])
def clone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone by someone whose Git writes text files with CRLF, as it does by default on Windows."""
    home = tmp_path_factory.mktemp("home")
    key, _, value = str(request.param).partition("=")
    attributes = home / "attributes"
    attributes.write_text("* text=auto\n")
    settings = {key: value, "core.attributesFile": str(attributes), "safe.directory": "*"}
    for name, setting in settings.items():
        subprocess.run(["git", "config", "--file", home / "config", name, setting], check=True)
    command = ["git", "clone", "--quiet", "--depth=1", f"file://{ROOT}", str(home / "clone")]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": str(home / "config")}
    subprocess.run(command, env=environment, check=True, timeout=60)
    return home / "clone"


def test_every_file_of_a_clone_is_as_it_was_committed(clone: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "-z", "HEAD"], cwd=clone, capture_output=True, text=True, check=True
    )
    committed = {name: entry.split()[2] for entry, name in
                 (line.split("\t") for line in listed.stdout.split("\0") if line)}  # fmt: skip
    present = {name: _blob((clone / name).read_bytes()) for name in committed}
    assert len(committed) > 400
    assert present == committed


def _blob(content: bytes) -> str:
    """How Git names a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_the_scripts_of_a_clone_run_also_where_their_mode_was_lost(clone: Path) -> None:
    """Zip archives, and copies from hosts without modes, have no executable files."""
    script = clone / "testbed" / "provision.sh"
    run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=60, check=False)
    refused = run([script, "--nothing"])
    assert refused.stderr == "provision: --nothing is no option; there are --prepared and --tests\n"
    for path in (script, *(clone / ".ci").iterdir()):
        path.chmod(0o644)
    refused = run(["make", "lock"], cwd=clone, env={**os.environ, "PYTHON": "none"})
    assert "lock: .venv/bin/python is not Python 3.11" in refused.stderr
    shown = run(["make", "--dry-run", "test", "prepared"], cwd=clone).stdout
    for line in shown.splitlines():
        assert line.startswith("bash "), line


def test_no_text_is_committed_with_the_ends_of_lines_of_another_system() -> None:
    """Nothing converts them. Files that users might bring stand as they are."""
    brought = ("tests/data/", "tests/corpus/kept/")
    listed = subprocess.run(
        ["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    odd = [line.split("\t")[1] for line in listed if line.startswith(("i/crlf", "i/mixed"))]
    assert [name for name in odd if not name.startswith(brought)] == []
