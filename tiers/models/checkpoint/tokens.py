"""Prompts as token ids: by the checkpoint's own tokenizer, cut to what the checkpoint holds."""

from __future__ import annotations

from typing import Any

from tiers.errors import ConfigError
from tiers.models.checkpoint.source import source_options


class PromptEncoder:
    """``AutoTokenizer`` of a checkpoint; prompts are cut at ``max_tokens`` tokens, special tokens included.

    ``max_tokens`` is the least of what is asked for, of the tokenizer's ``model_max_length``, and of the
    ``positions`` that the model has for a prompt (``None``: any number).

    Raises:
        ConfigError: there is no room for a token of the prompt.
    """

    def __init__(self, path: str, asked: int, positions: int | None) -> None:
        # By its module: the lean import stands in for the package, which would offer it (12 ms either way).
        from transformers.models.auto.tokenization_auto import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, **source_options(path))
        bounds = [asked, int(self.tokenizer.model_max_length)]
        self.max_tokens = min(bounds if positions is None else [*bounds, positions])
        special = self.tokenizer.num_special_tokens_to_add()
        if self.max_tokens <= special:
            raise ConfigError(
                f"checkpoint {path} is given {self.max_tokens} tokens of a prompt (the least of max_tokens, "
                "its tokenizer's model_max_length and its positions), and special tokens alone are "
                f"{special}; raise max_tokens, or bring a checkpoint that holds more"
            )

    def __call__(self, text: str, **options: Any) -> Any:
        """The inputs of the model for ``text``, by name; ``options`` are more of the tokenizer's."""
        return self.tokenizer(text, truncation=True, max_length=self.max_tokens, **options)


def positions_of(model: Any) -> int | None:
    """For how many tokens a model has positions; ``None`` if its configuration bounds them nowhere.

    RoBERTa and its kin number positions from behind the padding's: of 514 rows of their table they use 512.
    Positions that are computed (rotary ones) have no table; the bound is then what the model was made for.
    """
    held = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(held, int) or held < 1:  # -1 means no bound to some
        return None
    tables = (module for name, module in model.named_modules() if name.endswith("position_embeddings"))
    paddings = (getattr(table, "padding_idx", None) for table in tables)
    return held - max((padding + 1 for padding in paddings if padding is not None), default=0)
