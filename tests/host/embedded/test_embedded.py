"""Prepared checkpoints are kept under a hash of all that they come from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from testbed.host.embedded.ladder import WEIGHTS
from testbed.host.embedded.prepare import recipe_hash


@pytest.mark.parametrize(
    "name", ["device/adapter_config.json", "edge/adapter_model.safetensors", "cloud/more"]
)
def test_a_change_of_any_file_of_an_adapter_makes_new_checkpoints(name: str, tmp_path: Path) -> None:
    copy = shutil.copytree(WEIGHTS, tmp_path / "weights")
    assert recipe_hash(copy) == recipe_hash()
    with (copy / name).open("ab") as changed:
        changed.write(b" ")
    assert recipe_hash(copy) != recipe_hash()


def test_a_file_that_moves_from_one_adapter_to_another_makes_new_checkpoints(tmp_path: Path) -> None:
    copy = shutil.copytree(WEIGHTS, tmp_path / "weights")
    (copy / "device").rename(copy / "swapped")
    (copy / "edge").rename(copy / "device")
    (copy / "swapped").rename(copy / "edge")
    assert recipe_hash(copy) != recipe_hash()
