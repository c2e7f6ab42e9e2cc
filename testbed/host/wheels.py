"""The wheels of the tiers' image: fetched once by the host's pip, and checked against the lock's hashes."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.base_image import PYTHON_VERSION
from testbed.host.files import text_of
from testbed.host.processes.children import run_reported
from testbed.host.processes.reporting import Report

INSTALLER = "pip==26.0 --hash=sha256:98436feffb9e31bc9339cf369fd55d3331b1580b6a6f1173bacacddcf9c34754"
"""Installs the wheels in the image, run from its wheel, so that the base needs no pip."""
TORCH_ORIGIN = "torch-origin"
"""A file, beside wheels and in the host's environment: where torch is from, if the lock has no hash of it."""
TORCH = re.compile(r"^(torch==\S+)(?: \\\n[^\\\n]*)*\n", re.MULTILINE)
"""Torch's pin in a lock, with its hashes."""
OWN_SETTINGS = "pip's own settings"

GLIBC_MINORS = range(17, 37)
"""Wheels for glibc 2.17 (manylinux2014) up to the base's 2.36."""
FETCH_TIMEOUT_S = 3600.0


def ensure_wheels(lock: bytes, kept: Path, scratch: Path, report: Report) -> Path:
    """The directory ``kept`` of the wheels that ``lock`` names and of pip's; it is filled if it is not there.

    Each has one of the lock's hashes, but for a build of torch from another index (``TORCH_INDEX_URL``), or
    a variant of it that pip's settings bring.

    Raises:
        TestbedError: a wheel cannot be had, or is not the one that the lock knows.
    """
    if kept.is_dir():
        return kept
    fetched = scratch / "wheels"
    fetched.mkdir()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "5"]
    pip += ["download", "--no-deps", "--progress-bar", "off", "--dest", str(fetched)]
    pip += ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON_VERSION}"]
    pip += ["--abi", f"cp{PYTHON_VERSION.replace('.', '')}", "--abi", "abi3", "--abi", "none", *_platforms()]
    pins = lock.decode()
    torch = TORCH.search(pins)
    assert torch, "tiers need it"
    index = torch_index()
    _fetch([*pip, *(["--index-url", index] if index else []), torch[1]], "torch", report)
    _check_torch(fetched, torch[0], index, report)
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{pins.replace(torch[0], '')}{INSTALLER}\n")
    _fetch([*pip, "--require-hashes", "-r", str(requirements)], "packages", report)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for older in kept.parent.iterdir():
        shutil.rmtree(older, ignore_errors=True)
    fetched.rename(kept)
    return kept


def torch_index() -> str | None:
    """The index of torch alone: the one that is named, or the one that the host's torch is from."""
    origin = text_of(Path(sys.prefix) / TORCH_ORIGIN).strip()
    return os.environ.get("TORCH_INDEX_URL") or (origin if "://" in origin else None)


def _fetch(command: list[str], what: str, report: Report) -> None:
    run_reported(command, f"{what} for the image", report, FETCH_TIMEOUT_S)


def _check_torch(fetched: Path, known: str, index: str | None, report: Report) -> None:
    (wheel,) = fetched.glob("torch-*.whl")
    with wheel.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() in known:
            return
    if index is None and "+" not in wheel.name:
        raise TestbedError(
            f"{wheel.name} is none of the files that tiers/requirements.lock knows; "
            "check pip's index and try again"
        )
    report(f"{wheel.name} is not checked: tiers/requirements.lock has no hash of it")
    (fetched / TORCH_ORIGIN).write_text(re.sub("//[^/]*@", "//", index) if index else OWN_SETTINGS)


def _platforms() -> list[str]:
    machine = platform.machine()
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    return [part for tag in (*tags, f"manylinux2014_{machine}") for part in ("--platform", tag)]
