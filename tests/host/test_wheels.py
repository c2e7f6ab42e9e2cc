"""Wheels are taken by their hashes, torch alone from another index: what pip is asked, what is recorded."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.facts import host_facts
from testbed.host.image import TORCH_LABEL, _labels
from testbed.host.wheels import INSTALLER, OWN_SETTINGS, TORCH_ORIGIN, ensure_wheels
from tests import ROOT

WHEEL = "torch-2.9.0-cp311-cp311-linux_x86_64.whl"
VARIANT = "torch-2.9.0+cpu-cp311-cp311-linux_x86_64.whl"
KNOWN, OTHER = b"the lock's torch", b"another torch"
HASH = f"--hash=sha256:{hashlib.sha256(KNOWN).hexdigest()}"
PACKAGE = f"numpy==2.3.0 \\\n    --hash=sha256:{'1' * 64}\n"
LOCK = f"torch==2.9.0 \\\n    --hash=sha256:{'2' * 64} \\\n    {HASH}\n{PACKAGE}"
INDEX = "https://ada:sec@ret@wheels.example/cpu"
SHOWN = "https://wheels.example/cpu"

PYTHON = """
import json, sys
from pathlib import Path
here, asked = Path(__file__).parent, sys.argv[1:]
if asked[:2] == ["-m", "pip"]:
    with (here / "asked").open("a") as log:
        log.write(json.dumps(asked[2:]) + chr(10))
    if "download" in asked and asked[-1].startswith("torch=="):
        into = Path(asked[asked.index("--dest") + 1])
        into.mkdir(exist_ok=True)
        name, _, content = (here / "torch").read_text().partition(" ")
        (into / name).write_text(content)
elif asked[:2] == ["-m", "venv"]:
    (Path(asked[-1]) / "bin").mkdir(parents=True)
    (Path(asked[-1]) / "bin" / "python").symlink_to(here / "python")
elif asked == ["-VV"]:
    print("Python 3.11")
elif asked[0] == "-c" and "version_info" in asked[1]:
    print("311")
"""


@dataclass(frozen=True)
class Pip:
    """A Python whose pip fetches one wheel of torch, and notes what it is asked."""

    here: Path
    name: str
    content: bytes

    def __post_init__(self) -> None:
        self.here.mkdir()
        (self.here / "python.py").write_text(PYTHON)
        (self.here / "torch").write_bytes(self.name.encode() + b" " + self.content)
        command = shlex.join([sys.executable, "-I", str(self.here / "python.py")])
        self.python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        self.python.chmod(0o755)

    @property
    def python(self) -> Path:
        return self.here / "python"

    @property
    def asked(self) -> list[list[str]]:
        """The arguments of each call, from its command on."""
        lines = map(json.loads, (self.here / "asked").read_text().splitlines())
        return [line[line.index("5") + 1 :] for line in lines]  # the retries


@dataclass(frozen=True)
class Case:
    """What pip fetches and which index is named; then what is recorded, or ``None``."""

    name: str
    content: bytes
    index: str | None
    origin: str | None


CASES = {
    "known": Case(WHEEL, KNOWN, None, None),
    "known, of an index": Case(WHEEL, KNOWN, INDEX, None),
    "of an index": Case(WHEEL, OTHER, INDEX, SHOWN),
    "a variant of an index": Case(VARIANT, OTHER, INDEX, SHOWN),
    "a variant": Case(VARIANT, OTHER, None, OWN_SETTINGS),
}


def of_index(case: Case) -> list[str]:
    return ["--index-url", case.index] if case.index else []


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's environment, which this one stands for."""
    made = tmp_path / "prefix"
    made.mkdir()
    monkeypatch.setattr(sys, "prefix", str(made))
    monkeypatch.delenv("TORCH_INDEX_URL", raising=False)
    return made


def fetched(pip: Pip, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """The wheels of :data:`LOCK` as that pip has them, and what was told."""
    scratch, told = pip.here.parent / "scratch", list[str]()
    scratch.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(pip.python))
        return ensure_wheels(LOCK.encode(), pip.here.parent / "wheels" / "kept", scratch, told.append), told


@pytest.mark.parametrize("host_s", [False, True], ids=["named", "the host's"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_images_torch_alone_may_be_another_which_is_told_and_recorded(
    case: Case, host_s: bool, prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if host_s:  # what provision.sh wrote
        (prefix / TORCH_ORIGIN).write_text(f"{case.index or OWN_SETTINGS}\n")
    elif case.index:
        monkeypatch.setenv("TORCH_INDEX_URL", case.index)
    pip = Pip(tmp_path / "pip", case.name, case.content)
    kept, told = fetched(pip, monkeypatch)

    torch, packages = pip.asked
    assert torch[:2] == ["download", "--no-deps"]
    assert torch[-1 - len(of_index(case)) :] == [*of_index(case), "torch==2.9.0"]
    assert torch.count("--index-url") == (case.index is not None)
    requirements = tmp_path / "scratch" / "requirements.txt"
    assert packages[:2] == ["download", "--no-deps"]
    assert packages[-3:] == ["--require-hashes", "-r", str(requirements)]
    assert not any("index" in word for word in packages)
    assert requirements.read_text() == f"{PACKAGE}{INSTALLER}\n"
    assert re.fullmatch(r"pip==\S+ --hash=sha256:[0-9a-f]{64}", INSTALLER)

    unchecked = f"{case.name} is not checked: tiers/requirements.lock has no hash of it"
    assert [line for line in told if "checked" in line] == [unchecked] * (case.origin is not None)
    origin = kept / TORCH_ORIGIN
    assert (origin.read_text() if origin.exists() else None) == case.origin
    assert _labels(kept) == ({TORCH_LABEL: case.origin} if case.origin else {})
    assert "sec" not in "".join(told) + "".join(_labels(kept).values())


def test_an_unknown_torch_of_no_other_index_is_refused_before_anything_else_is_taken(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = Pip(tmp_path / "pip", WHEEL, OTHER)
    said = f"{WHEEL} is none of the files that tiers/requirements.lock knows; check pip's index and try again"
    with pytest.raises(TestbedError, match=f"^{re.escape(said)}$"):
        fetched(pip, monkeypatch)
    assert len(pip.asked) == 1
    assert not (tmp_path / "wheels").exists()
    assert list(prefix.iterdir()) == []


def provisioned(pip: Pip, index: str | None) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A checkout, and what its provision.sh says, which finds all packages of Debian and room there."""
    root = pip.here.parent / "checkout"
    script, text = root / "testbed" / "provision.sh", (ROOT / "testbed" / "provision.sh").read_text()
    for path, content in (
        ("requirements.lock", LOCK),
        ("tests/requirements.lock", PACKAGE),
        ("pyproject.toml", ""),
    ):
        (root / path).parent.mkdir(exist_ok=True, parents=True)
        (root / path).write_text(content)
    script.parent.mkdir()
    for ours, theirs in (
        ("python=/usr/bin/python3", f"python={pip.python}"),
        ("\ninstall_packages\n", "\n"),
        ("need_room 3000000", "need_room 0"),
    ):
        assert text.count(ours) == 1
        text = text.replace(ours, theirs)
    script.write_text(text)
    environment = {**os.environ, "TORCH_INDEX_URL": index or ""}
    done = subprocess.run(["bash", script, "--tests"], env=environment, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    return root, done


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_hosts_torch_alone_may_be_another_which_is_told_and_recorded(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = Pip(tmp_path / "pip", case.name, case.content)
    root, done = provisioned(pip, case.index)
    assert (done.returncode, done.stderr) == (0, "")
    venv = root / ".venv"
    by_hash = ["install", "--no-deps", "--no-compile", "--require-hashes", "-r"]
    taken = f"{venv}/tmp/torch"
    assert pip.asked == [
        ["download", "--no-deps", "--only-binary=:all:", "--dest", taken, *of_index(case), "torch==2.9.0"],
        ["install", "--no-deps", "--no-compile", f"{taken}/{case.name}"],
        [*by_hash, f"{root}/requirements.lock"],
        ["install", "--no-deps", "--no-build-isolation", "-e", str(root)],
        [*by_hash, f"{root}/tests/requirements.lock"],
    ]
    script = (root / "testbed" / "provision.sh").read_text()
    calls = re.findall(r"-m pip\b|\bpip (?:install|download)|\$\{pip\b", script)
    assert len(calls) == 1 + len(pip.asked) + 1, (
        "where it is named, these, and CUDA's libraries if TORCH_CUDA asks"
    )
    unchecked = f"{case.name} is not checked: requirements.lock has no hash of it"
    assert [line.strip() for line in done.stdout.splitlines() if "checked" in line] == [unchecked] * (
        case.origin is not None
    )
    monkeypatch.setattr(sys, "prefix", str(venv))
    assert host_facts()["torch_origin"] == case.origin
    assert "sec" not in done.stdout


def test_an_unknown_torch_of_no_other_index_is_not_installed(tmp_path: Path) -> None:
    pip = Pip(tmp_path / "pip", WHEEL, OTHER)
    root, done = provisioned(pip, None)
    said = f"{WHEEL} is none of the files that requirements.lock knows; check pip's index and try again"
    assert (done.returncode, done.stderr) == (1, f"provision: {said}\n")
    assert [call[0] for call in pip.asked] == ["download"]
    assert not (root / ".venv" / TORCH_ORIGIN).exists()
