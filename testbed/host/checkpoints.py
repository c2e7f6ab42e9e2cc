"""Checkpoint directories on this host: whether one is whole, and the files that a model is loaded from."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.places import unfit_beside

PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja"]
"""Names of the files that a model is loaded from: configuration, weights, tokenizer, template of chats."""
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
MAX_INDEX_BYTES = 64 << 20
LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a directory of a Transformers checkpoint."""
    return (folder / "config.json").is_file()


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of a checkpoint that a model is loaded from, by their names there, which may be links.

    Raises:
        TestbedError: weights are missing, a link leads nowhere, or Git LFS has not fetched a file.
    """
    for name in _weights(folder):
        if "/" in name or not _is_there(folder / name):
            raise TestbedError(
                f"{folder / INDEX} names {name}, which is not in {folder}; bring all of its files"
            )
    found = sorted({path for pattern in PATTERNS for path in folder.glob(pattern)})
    return [path for path in found if _is_whole(path)]


@cache
def from_hub(name: str) -> Path:
    """The directory of a model of the hub, which is fetched the first time; its name is the commit.

    A process asks once for each name: another commit meanwhile would be another model.

    Raises:
        TestbedError: it cannot be had.
    """
    from huggingface_hub import snapshot_download  # late: it takes a second

    try:
        return Path(snapshot_download(name, allow_patterns=PATTERNS))
    except Exception as error:  # the hub's library has a dozen kinds, and network errors beside
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TestbedError(
            f"{name} cannot be had from the model hub ({reason}); "
            "name a checkpoint directory or an embedded model instead"
        ) from error


def _weights(folder: Path) -> list[str]:
    """The names of the files that hold the weights."""
    if _is_there(folder / WEIGHTS):
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        raise TestbedError(
            f"{folder} holds no weights: neither {WEIGHTS} nor {INDEX}; save them as safetensors, "
            "as save_pretrained does (other formats can run code and are not loaded)"
        )
    try:
        with (folder / INDEX).open("rb") as file:
            index = json.loads(file.read(MAX_INDEX_BYTES))
        return sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TestbedError(
            f"{folder / INDEX} is no index of weights ({type(error).__name__}: {error}); "
            "save the checkpoint again"
        ) from error


def _is_there(path: Path) -> bool:
    """Whether a file, or a link, be it one that leads nowhere, has that name."""
    return path.is_symlink() or path.is_file()


def _is_whole(path: Path) -> bool:
    """Whether this is a file, and not a directory of such a name."""
    try:
        if path.is_dir():
            return False
        if unfit := unfit_beside(path):
            raise TestbedError(f"{path} {unfit}; bring the file itself")
        with path.open("rb") as file:
            begins = file.read(len(LFS_POINTER))
    except OSError as error:
        link = f", a link to {path.readlink()}," if path.is_symlink() else ""
        raise TestbedError(
            f"{path}{link} cannot be read ({error.strerror}); bring the file itself, or mend the link"
        ) from error
    if begins == LFS_POINTER:
        raise TestbedError(f"{path} is a pointer of Git LFS and not the file; fetch it with `git lfs pull`")
    return True
