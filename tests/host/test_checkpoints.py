"""Checkpoint directories as people have them: links, shards, and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.errors import TestbedError
from testbed.host.checkpoints import checkpoint_files, is_checkpoint


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A directory with the files of a checkpoint, and some more."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "vocab.txt", "optimizer.pt", "model.safetensors"):
        (folder / name).write_text("{}")
    (folder / "notes.txt").mkdir()
    return folder


def shard(folder: Path) -> None:
    """Spread the weights over two files with an index."""
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors").unlink()
    for name in names:
        (folder / name).write_text("{}")
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_the_files_that_a_model_is_loaded_from(checkpoint: Path) -> None:
    assert is_checkpoint(checkpoint)
    names = [path.name for path in checkpoint_files(checkpoint)]
    assert names == ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]
    shard(checkpoint)
    assert [path.name for path in checkpoint_files(checkpoint)] == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
        "tokenizer.json",
        "vocab.txt",
    ]


def test_links_are_files_of_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    blob = tmp_path / "blobs" / "0123"
    blob.parent.mkdir()
    (checkpoint / "model.safetensors").rename(blob)
    (checkpoint / "model.safetensors").symlink_to("../blobs/0123")
    assert checkpoint / "model.safetensors" in checkpoint_files(checkpoint)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def link_to_nothing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/0123")


def link_to_itself(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to("tokenizer.json")


def missing_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def shard_outside(folder: Path) -> None:
    shard(folder)
    (folder.parent / "other.safetensors").write_text("{}")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../other.safetensors"}}')


def broken_index(folder: Path) -> None:
    shard(folder)
    (folder / "model.safetensors.index.json").write_text("[]")


def lfs_pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:01\n")


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            no_weights,
            "{0} holds no weights: neither model.safetensors nor model.safetensors.index.json; save",
        ),
        (link_to_nothing, "{0}/model.safetensors, a link to ../../blobs/0123, cannot be read (No such file"),
        (link_to_itself, "{0}/tokenizer.json, a link to tokenizer.json, cannot be read (Too many levels"),
        (missing_shard, "index.json names model-00002-of-00002.safetensors, which is not in {0}; bring all"),
        (shard_outside, "index.json names ../other.safetensors, which is not in {0}; bring all of its files"),
        (broken_index, "{0}/model.safetensors.index.json is no index of weights (TypeError"),
        (
            lfs_pointer,
            "{0}/model.safetensors is a pointer of Git LFS and not the file; fetch it with `git lfs",
        ),
    ],
)
def test_a_checkpoint_that_is_not_whole_is_refused_in_one_sentence(
    broken: Callable[[Path], None], sentence: str, checkpoint: Path
) -> None:
    broken(checkpoint)
    with pytest.raises(TestbedError) as refused:
        checkpoint_files(checkpoint)
    assert sentence.format(checkpoint) in str(refused.value)
    assert "\n" not in str(refused.value)
