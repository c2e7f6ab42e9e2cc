"""Prompts as token ids: by the checkpoint's own tokenizer, cut to what the checkpoint holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from tiers.api.asked import Asked, Message
from tiers.errors import ConfigError, RequestError, invalid
from tiers.models.checkpoint.source import source_options
from tiers.tasks.base import TEXT, fill


class Prompting(NamedTuple):
    """What a text is put into before it is tokens: a template, then the checkpoint's own for chats."""

    template: str = TEXT
    chat: bool = False


class Around(NamedTuple):
    """The messages of a conversation before and after the last user's."""

    before: Sequence[Message] = ()
    after: Sequence[Message] = ()


PLAIN = Prompting()
ALONE = Around()


class PromptEncoder:
    """``AutoTokenizer`` of a checkpoint; prompts are cut at ``max_tokens`` tokens, special tokens included.

    ``max_tokens`` is the least of what is asked for, of the tokenizer's ``model_max_length``, and of the
    ``positions`` that the model has for a prompt (``None``: any number). With a template, the end of the text
    is cut and the template stays whole, so that what it asks for behind the text is asked for.

    Attributes:
        chats: whether prompts are in the checkpoint's chat template: as a user's message, with the beginning
            of an answer behind it.

    Raises:
        ConfigError: there is no room for a token of the prompt.
    """

    def __init__(self, path: str, asked: int, positions: int | None, prompting: Prompting = PLAIN) -> None:
        # By its module: the lean import stands in for the package, which would offer it (12 ms either way).
        from transformers.models.auto.tokenization_auto import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(path, **source_options(path))
        bounds = [asked, int(self.tokenizer.model_max_length)]
        self.max_tokens = min(bounds if positions is None else [*bounds, positions])
        self.chats = prompting.chat and self.tokenizer.chat_template is not None
        self._template = prompting.template
        self._wraps = self.chats or self._template != TEXT
        taken = self._length("") if self._wraps else self.tokenizer.num_special_tokens_to_add()
        if self.max_tokens <= taken:
            what = "template and special tokens" if self._wraps else "special tokens"
            raise ConfigError(
                f"checkpoint {path} is given {self.max_tokens} tokens of a prompt (the least of max_tokens, "
                f"its tokenizer's model_max_length and its positions), and {what} alone are "
                f"{taken}; raise max_tokens, or bring a checkpoint that holds more"
            )

    def __call__(self, texts: str | Sequence[str], **options: Any) -> Any:
        """The inputs of the model for texts, by name; ``options`` are more of the tokenizer's."""
        if not self._wraps:
            return self.tokenizer(texts, truncation=True, max_length=self.max_tokens, **options)
        asked = self._fitting(texts) if isinstance(texts, str) else [self._fitting(text) for text in texts]
        return self.tokenizer(asked, add_special_tokens=not self.chats, **options)

    def conversation(self, asked: Asked) -> Any:
        """The inputs of the model for a conversation; of the last user message, the end may be cut.

        Raises:
            RequestError: 400; the chat template takes no such conversation, or it has no room for it.
        """
        around = Around(asked.messages[: asked.last], asked.messages[asked.last + 1 :])
        if len(asked.messages) > self.max_tokens:  # before they are put together: a token each they have
            raise self._too_long()
        try:
            chat = self._asked("", around)
        except Exception as error:  # of the template's own raise_exception, or of its code
            raise _unread(f"does not take these: {error}") from error
        for message in (*around.before, *around.after):
            if message.text.strip() not in chat:
                raise _unread(f"leaves out one of role {message.role}")
        if self._length("", around) >= self.max_tokens:
            raise self._too_long()
        return self.tokenizer(self._fitting(asked.text, around), add_special_tokens=False)

    def _too_long(self) -> RequestError:
        message = (
            f"messages: those beside the last user's leave it no room of the {self.max_tokens} tokens that "
            "this tier's model reads; send fewer"
        )
        return invalid(message, "messages", "context_length_exceeded")

    def _fitting(self, text: str, around: Around = ALONE) -> str:
        """What is asked: the template with the longest beginning of a text that there is room for."""
        if self._length(text, around) > self.max_tokens:
            ends = range(len(text) + 1)
            fitting = bisect_right(ends, self.max_tokens, key=lambda end: self._length(text[:end], around))
            text = text[: fitting - 1]
        return self._asked(text, around)

    def _length(self, text: str, around: Around = ALONE) -> int:
        return len(self.tokenizer(self._asked(text, around), add_special_tokens=not self.chats)["input_ids"])

    def _asked(self, text: str, around: Around = ALONE) -> str:
        asked = fill(self._template, text)
        if not self.chats:
            return asked
        # Special tokens are of the chat template's own.
        messages = [*map(_as_templates_have_it, around.before), {"role": "user", "content": asked}]
        messages += map(_as_templates_have_it, around.after)
        chat: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return chat

    def batch(self, texts: Sequence[str], padding: int | None, side: str = "right") -> dict[str, Any]:
        """The inputs for several texts by name, a row for each, and how many tokens each has: ``lengths``.

        Shorter texts are filled up at ``side`` with the padding token, which the tokenizer and the model's
        configuration (``padding``) must agree on. One text stays as it is.

        Raises:
            ConfigError: they do not, or there is none.
        """
        texts = list(texts)
        if len(texts) == 1:
            rows = dict(self(texts))
            return {**rows, "lengths": [len(rows["input_ids"][0])]}
        self.require_padding(padding)
        rows = dict(self(texts, padding=True, padding_side=side, return_attention_mask=True))
        return {**rows, "lengths": [sum(mask) for mask in rows["attention_mask"]]}

    def require_padding(self, padding: int | None) -> None:
        """Make sure that shorter texts can be filled up; ``padding`` is what the model's configuration says.

        Raises:
            ConfigError: the tokenizer says another token, or none.
        """
        own = self.tokenizer.pad_token_id
        if own is None or own != padding:
            raise ConfigError(
                f"a batch needs a padding token, and this checkpoint's tokenizer says {own} and its "
                f"config.json {padding} (pad_token_id); take batches of 1"
            )


def _as_templates_have_it(message: Message) -> dict[str, str]:
    """Templates know no developers: the API's newer name of what ``system`` says."""
    role = "system" if message.role == "developer" else message.role
    return {"role": role, "content": message.text}


def _unread(what: str) -> RequestError:
    return invalid(
        f"messages: the chat template of this tier's model {what}"[:400], "messages", "invalid_value"
    )


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
