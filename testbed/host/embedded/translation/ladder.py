"""The sizes of the translation ladder: encoder-decoder transformers (Marian), trained from scratch.

They are demonstration models: each translates better than the one below, on the prose of Debian's packages.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from testbed.host.embedded.ladder import WEIGHTS

TOKENIZER = WEIGHTS / "translation" / "tokenizer.json.gz"
"""The byte-pair encoding that all sizes share, as the tokenizers library writes it."""


@dataclass(frozen=True)
class Size:
    """One tier's translation model: ``d_model`` values a token, ``ffn`` inside a feed-forward layer."""

    name: str
    d_model: int
    ffn: int
    encoder_layers: int
    decoder_layers: int
    heads: int

    @property
    def weights(self) -> Path:
        """The committed weights, 8-bit integers by rows."""
        return WEIGHTS / "translation" / f"{self.name}.safetensors"

    @property
    def layers(self) -> str:
        """Encoder and decoder layers, as a table prints them."""
        return f"{self.encoder_layers}+{self.decoder_layers}"


SIZES = {
    size.name: size
    for size in (
        Size("device", d_model=128, ffn=512, encoder_layers=2, decoder_layers=1, heads=4),
        Size("edge", d_model=192, ffn=512, encoder_layers=3, decoder_layers=1, heads=4),
        Size("cloud", d_model=256, ffn=1024, encoder_layers=4, decoder_layers=2, heads=4),
    )
}
"""By name, lowest first."""
