"""Where a checkpoint comes from, and that it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiers.errors import ConfigError


def source_options(path: str) -> dict[str, Any]:
    """Where Transformers may look for a checkpoint, whose code is never run."""
    return {"trust_remote_code": False, "local_files_only": Path(path).is_dir()}


def load_weights(made: Any, path: str) -> Any:
    """The model of class ``made`` with the weights of a checkpoint, in float32, ready to infer.

    Raises:
        ConfigError: the checkpoint lacks weights of it, which Transformers would draw at random, or they have
            another shape than its configuration says.
    """
    import torch

    reported = {"output_loading_info": True, "ignore_mismatched_sizes": True}  # what is wrong is said below
    model, loaded = made.from_pretrained(
        path, dtype=torch.float32, use_safetensors=True, **reported, **source_options(path)
    )
    if other := sorted(loaded["mismatched_keys"]):
        name, held, asked = other[0]
        raise ConfigError(
            f"checkpoint {path} holds {name} of the shape {list(held)} where its config.json asks for "
            f"{list(asked)}; mend num_labels, id2label or sizes there"
        )
    if missing := sorted(loaded["missing_keys"]):
        named = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise ConfigError(
            f"checkpoint {path} has no weights {named} of {type(model).__name__}: it was made for another "
            "task; bring one that was trained for this one"
        )
    return model.eval()
