"""Weights as 8-bit integers with a scale for each row: a quarter of single precision's bytes.

A matrix is stored as ``NAME`` (int8) and ``NAME.scale`` (float16, one for each row); a value is their
product. Vectors stay as float16.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

SCALE = ".scale"
_LARGEST = 127
_LEAST_SCALE = 6e-8
"""The smallest float16 above 0: a row of zeros has it."""


def pack(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write the tensors of ``state`` to ``path``, each row's largest value as ±127."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        values = tensor.detach().float().cpu()
        if values.ndim == 2:
            scale = (values.abs().amax(dim=1, keepdim=True) / _LARGEST).clamp(min=_LEAST_SCALE).half()
            packed[name] = (values / scale.float()).round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
            packed[name + SCALE] = scale
        else:
            packed[name] = values.half().contiguous()
    save_file(packed, path, metadata={"format": "pt"})
    path.chmod(0o644)


def unpack(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file that :func:`pack` wrote, in single precision."""
    stored = load_file(path)
    return {
        name: tensor.float() * stored[name + SCALE].float() if name + SCALE in stored else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }
