"""The run directory: whole files, seals that break, tables that come back."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.results.columns import REQUESTS, SCHEMA_VERSION
from testbed.results.directory import MOST_BYTES, RunDirectory
from testbed.results.seals import SUMS
from tests import ROOT


@pytest.fixture
def sealed(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory.create(tmp_path / "run", "name")
    directory.write_json("manifest.json", {"status": "finished"})
    directory.pcap("recserve", "device1-edge1").write_bytes(b"frames")
    directory.seal()
    return directory


def test_a_new_run_never_mixes_with_an_old_one(sealed: RunDirectory) -> None:
    with pytest.raises(TestbedError, match="is not empty; name a new directory"):
        RunDirectory.create(sealed.path, "name")


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TestbedError, match=r"--out: .*/file/run cannot be made"):
        RunDirectory.create(tmp_path / "file" / "run", "name")


def test_a_directory_whose_captures_would_have_too_long_a_path_is_refused_beforehand(tmp_path: Path) -> None:
    path = tmp_path
    while len(bytes(path)) < 3700:
        path /= "long" * 50
    with pytest.raises(TestbedError, match=r"cannot be made \(File name too long\); name another directory"):
        RunDirectory.check(path)
    RunDirectory.check(tmp_path / ("long" * 50))


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"no run directory: there is no such directory"):
        RunDirectory.open(tmp_path / "none")
    with pytest.raises(TestbedError, match=r"no run directory: it has no manifest\.json"):
        RunDirectory.open(tmp_path)


def test_a_run_of_a_later_version_is_refused_whatever_is_asked_of_it(sealed: RunDirectory) -> None:
    sealed.write_json("manifest.json", {"schema_version": SCHEMA_VERSION + 1})
    with pytest.raises(TestbedError, match=r"has schema version .* install a later one"):
        RunDirectory.open(sealed.path)


def test_what_cannot_be_understood_is_damage_if_a_seal_is_broken_and_else_a_defect(
    sealed: RunDirectory,
) -> None:
    with pytest.raises(KeyError), sealed.understood():
        sealed.read_json("manifest.json")["scenario"]
    sealed.write_json("manifest.json", {"status": "failed"})
    with pytest.raises(TestbedError, match=r"manifest\.json is not as the run left it"), sealed.understood():
        sealed.read_json("manifest.json")["scenario"]


def test_a_seal_holds_until_one_bit_changes(sealed: RunDirectory) -> None:
    assert sealed.broken_seals() == []
    pcap = sealed.pcap("recserve", "device1-edge1")
    pcap.write_bytes(b"framer")
    assert sealed.broken_seals() == [
        "captures/recserve/device1-edge1.pcap is not as the run left it (its SHA-256 differs)"
    ]
    pcap.rename(pcap.with_name("other.pcap"))
    assert len(sealed.broken_seals()) == 2
    assert sealed.broken_seals(["manifest.json"]) == []
    assert sealed.broken_seals(["captures/recserve/device1-edge1.pcap"]) == [
        "captures/recserve/device1-edge1.pcap is missing"
    ]
    (sealed.path / SUMS).unlink()
    assert sealed.broken_seals() == [f"{SUMS} is missing: the run did not end, or was tampered with"]


def test_files_are_sealed_again_and_nothing_else_that_changed(sealed: RunDirectory) -> None:
    sealed.write_json("manifest.json", {"status": "judged"})
    assert len(sealed.broken_seals()) == 1
    sealed.reseal("manifest.json")
    assert sealed.broken_seals() == []
    sealed.pcap("recserve", "device1-edge1").write_bytes(b"framer")
    sealed.write_json("manifest.json", {"status": "judged again"})
    sealed.reseal("manifest.json")
    assert [words.split()[0] for words in sealed.broken_seals()] == ["captures/recserve/device1-edge1.pcap"]
    with pytest.raises(TestbedError, match="cannot be sealed again"):
        sealed.reseal("summary.json")


@pytest.fixture
def old(tmp_path: Path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(ROOT / "tests" / "data" / "run-v1", tmp_path / "old")))


def test_floats_come_back_from_a_table_to_the_last_bit(old: RunDirectory) -> None:
    confidences = [0.1 + 0.2, 1 / 3, None]
    row = max(old.read_table("requests.parquet"), key=lambda row: len(row["path"]))
    old.write_table("requests.parquet", [{**row, "confidences": confidences}], REQUESTS)
    assert old.read_table("requests.parquet")[0]["confidences"] == confidences


def test_a_file_that_is_larger_than_a_run_leaves_is_not_read(old: RunDirectory) -> None:
    with (old.path / "summary.json").open("r+b") as file:
        file.truncate(MOST_BYTES + 1)  # which takes no room
    with pytest.raises(TestbedError, match=r"summary\.json cannot be read \(it has more than 512 MiB\)"):
        old.read_summary()


def test_sums_that_are_larger_than_a_run_leaves_are_not_read(old: RunDirectory) -> None:
    with (old.path / SUMS).open("r+b") as file:
        file.truncate(1 << 40)
    assert old.broken_seals() == [f"{SUMS} is not as the run left it (it has more than 64 MiB)"]


def test_damaged_files_are_one_sentence(old: RunDirectory) -> None:
    (old.path / "requests.parquet").write_bytes(b"PAR1 and then nothing")
    (old.path / "summary.json").write_text('{"methods": ')
    with pytest.raises(TestbedError, match=r"requests\.parquet cannot be read"):
        old.read_table("requests.parquet")
    with pytest.raises(TestbedError, match=r"summary\.json is no JSON"):
        old.read_summary()


@pytest.mark.parametrize(
    ("name", "why"), [("full", "is not empty"), ("file", "cannot be made"), ("file/new", "cannot be made")]
)
def test_a_directory_that_cannot_be_made_is_told_beforehand(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "full").mkdir()
    for taken in ("full/x", "file"):
        (tmp_path / taken).touch()
    for refuse in (RunDirectory.check, lambda out: RunDirectory.create(out, "x")):
        with pytest.raises(TestbedError, match=f"--out: .*{why}"):
            refuse(tmp_path / name)


def test_a_directory_that_can_be_made_is_not_made_by_looking(tmp_path: Path) -> None:
    RunDirectory.check(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
