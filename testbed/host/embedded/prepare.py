"""Assembles the embedded tiers' checkpoints: base, adapter and head merged into plain directories.

The result is an ordinary Transformers checkpoint, which ``transformers.pipeline`` opens.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from importlib.metadata import version
from pathlib import Path

from testbed.host.assets import MINILM, SMOLLM2, fetch
from testbed.host.cache import cache_dir, scratch_in
from testbed.host.cgroup_limits import own_limits, require_memory
from testbed.host.embedded.ladder import LABELS, MAX_TOKENS, RUNGS, WEIGHTS, Rung
from testbed.host.embedded.translation.ladder import SIZES, Size
from testbed.host.processes.locking import exclusive
from testbed.host.processes.reporting import Report, silent

LIBRARIES = ("transformers", "peft")
_LOCK_TIMEOUT_S = 900
PREPARING_BYTES = 1400 << 20
"""As measured: the largest base, whole and cut."""


def prepare(report: Report = silent) -> Path:
    """The directory that holds one checkpoint for each rung; it is made the first time.

    Those of the translation ladder are in its folder ``translation``.
    Its name is the hash of its recipe (:func:`recipe_hash`), so that a change makes a new one.

    Raises:
        TestbedError: a base model cannot be fetched, or there is too little memory.
    """
    target = _target()
    if target.is_dir():
        return target
    with exclusive(target.parent / ".lock", "preparing the models", _LOCK_TIMEOUT_S, report):
        if target.is_dir():
            return target
        require_room()
        for asset in (MINILM, SMOLLM2):
            fetch(asset, report)
        with scratch_in(target.parent, ".prepare-") as scratch:
            made = scratch / "models"
            made.mkdir()
            for rung in RUNGS.values():
                report(f"assembling the demonstration model of tier {rung.name}")
                _assemble(rung, made / rung.name)
            for size in SIZES.values():
                report(f"unpacking the demonstration model of tier translation/{size.name}")
                _unpack(size, made / "translation" / size.name)
            made.chmod(0o755)
            made.rename(target)
    return target


def require_room() -> None:
    """Refuse to prepare the models where the memory for it is lacking; does nothing if they are there.

    Raises:
        TestbedError: this shell's control groups, or the host, leave less than it takes.
    """
    if not is_prepared():
        require_memory(own_limits(), PREPARING_BYTES, "assembling the embedded models needs")


def is_prepared() -> bool:
    """Whether the models are there."""
    return _target().is_dir()


def _target() -> Path:
    return cache_dir() / "models" / recipe_hash()


def _assemble(rung: Rung, into: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar for each of three conversions says nothing
    warnings.simplefilter("ignore", FutureWarning)  # PEFT's, of a later Transformers
    from peft import PeftModel  # takes seconds to import
    from transformers.utils import logging

    from testbed.host.embedded.base import load_base

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model, tokenizer = load_base(rung)
    merged = PeftModel.from_pretrained(model, rung.adapter, use_safetensors=True).merge_and_unload()
    merged.config.name_or_path = f"embedded/{rung.name}"
    merged.save_pretrained(into)
    tokenizer.save_pretrained(into)
    description = {"demonstration_model": rung.name, "max_tokens": MAX_TOKENS, "base": rung.base}
    (into / "testbed.json").write_text(json.dumps(description) + "\n")
    _make_readable(into)


def _unpack(size: Size, into: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers.utils import logging

    from testbed.host.embedded.translation.marian import committed_tokenizer, save_checkpoint, with_state
    from testbed.host.embedded.translation.quantised import unpack

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    tokenizer = committed_tokenizer()
    model = with_state(size, unpack(size.weights), tokenizer.get_vocab_size())
    model.config.name_or_path = f"embedded/translation/{size.name}"
    save_checkpoint(model, tokenizer, into)
    _make_readable(into)
    into.parent.chmod(0o755)


def _make_readable(checkpoint: Path) -> None:
    """Let the containers' user read it."""
    for path in checkpoint.iterdir():
        path.chmod(0o644)
    checkpoint.chmod(0o755)


def recipe_hash(weights: Path = WEIGHTS) -> str:
    """The hash of all that a checkpoint is made from: bases, this code, labels, the libraries that write it,
    and every file below ``weights``: an adapter's configuration changes the merged weights, too.
    """
    parts = [asset.sha256.encode() for asset in (MINILM, SMOLLM2)]
    here = Path(__file__).parent
    names = ("prepare.py", "base.py", "ladder.py", "translation/ladder.py", "translation/marian.py")
    code = [here / name for name in (*names, "translation/quantised.py")]
    parts += [path.read_bytes() for path in code]
    parts += ["/".join(LABELS).encode(), *(version(name).encode() for name in LIBRARIES)]
    for path in sorted(path for path in weights.rglob("*") if path.is_file()):
        parts += [str(path.relative_to(weights)).encode(), path.read_bytes()]
    each = (hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(b"".join(each)).hexdigest()[:12]
