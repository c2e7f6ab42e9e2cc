"""The embedded ladder: three demonstration models, one for each tier of the quickstart.

A rung is a base model from a PyPI package, cut to its lowest layers, with a low-rank adapter (PEFT)
and a classification head trained on the ``train`` split. They are small models that
run anywhere, each more accurate than the one below; they are not the paper's models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABELS = ("negative", "positive")
"""What the models answer."""
WEIGHTS = Path(__file__).parent / "weights"
MAX_TOKENS = 512
"""A prompt is truncated to so many (arXiv:2505.16502), inside the model only, never on the wire."""


@dataclass(frozen=True)
class Rung:
    """One tier's demonstration model: ``layers`` of its base, the upper ones of them adapted.

    The lowest ``frozen`` layers have no adapter: training does not go back through them.
    """

    name: str
    base: str
    layers: int
    frozen: int
    rank: int

    @property
    def adapter(self) -> Path:
        """The committed PEFT adapter directory."""
        return WEIGHTS / self.name


RUNGS = {
    rung.name: rung
    for rung in (
        Rung("device", base="minilm", layers=5, frozen=0, rank=16),
        Rung("edge", base="smollm2", layers=16, frozen=6, rank=8),
        Rung("cloud", base="smollm2", layers=26, frozen=0, rank=8),
    )
}
