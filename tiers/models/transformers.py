"""A Transformers checkpoint: a plain directory, or a name on the hub, as a classifier or a generator.

The task of the configuration decides: ``classification`` takes the sequence classifier that
``transformers.pipeline("text-classification")`` takes, any other task a sequence-to-sequence or causal model.
With a template that asks for a label, such a model may classify, too.
Weights come from safetensors only, mapped into memory rather than copied; code in a checkpoint is never run.
Truncation happens here, inside. A classifier answers in the task's labels
(:mod:`tiers.models.checkpoint.labels`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from tiers.api.asked import Asked
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, Output
from tiers.models.checkpoint.generation import Generator
from tiers.models.checkpoint.head import confidence_of, labels_of
from tiers.models.checkpoint.labels import as_label, in_the_tasks_words
from tiers.models.checkpoint.lean import can_import_lean, import_lean
from tiers.models.checkpoint.packed import can_pack, packed_logits
from tiers.models.checkpoint.source import load_weights
from tiers.models.checkpoint.tokens import PromptEncoder, Prompting, positions_of
from tiers.parameters import Count, File, Internal, Like
from tiers.tasks import Template
from tiers.tasks.base import TEXT

GENERATORS = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel", "MTModel")
"""How the names of architectures end that produce text."""


def set_environment(threads: int, offline: bool) -> None:
    """What must be in the environment before torch's and the tokenizers' libraries are loaded.

    Idle OpenMP threads sleep at once: by default they spin for a while after each inference, which
    eats the CPU share of the container and of its neighbours.
    """
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "GOMP_SPINCOUNT": "0",
        "KMP_BLOCKTIME": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    }
    if offline:
        settings["HF_HUB_OFFLINE"] = "1"
    os.environ.update(settings)


class TransformersModel(Model):
    """A checkpoint as a classifier or a generator; prompts are cut at ``max_tokens``, or at what it holds.

    ``max_new_tokens`` bounds what a generator produces. ``template`` stands for the task's. A checkpoint's
    chat template is used if it has one, unless ``chat`` says no. ``device`` is torch's name of where it
    infers.
    """

    tokens = "tokenizer"

    def __init__(
        self,
        config: ModelConfig,
        *,
        path: Annotated[str, Like(r".+", "a checkpoint directory or a hub name"), File("/model")],
        max_tokens: Count = 512,
        max_new_tokens: Count = 256,
        template: Template | None = None,
        chat: bool = True,
        device: Annotated[str, Internal()] = "cpu",
    ) -> None:
        super().__init__(config)
        if path.startswith(("/", ".")) and not Path(path).is_dir():
            raise ConfigError(f"no checkpoint directory {path}")
        self.path, self.lean = path, False
        self._answer: Callable[[Asked], Output] | None = None
        self._longest_label = 0
        self._known: dict[str, Any] = {}
        self._require_padding: Callable[[], None] = lambda: None
        self._prompting = Prompting(config.template_of(template), chat)
        self._max_tokens, self._max_new_tokens, self._device = max_tokens, max_new_tokens, device
        set_environment(config.threads, offline=Path(path).is_dir())
        try:
            self._infer = self._load()
        except ConfigError:
            raise
        except Exception as error:  # of four libraries, each with kinds of its own
            reason = " ".join(str(error).split())[:500]
            raise ConfigError(f"cannot load checkpoint {path}: {type(error).__name__}: {reason}") from error

    def _load(self) -> Callable[[Sequence[str]], list[Output]]:
        if self.config.task == "classification" and not self._generates_labels():
            return self._load_classifier()
        self.confidence = self.config.confidence_of_answers
        limits = self._max_tokens, self._max_new_tokens
        generator = Generator(self.path, *limits, self.config.threads, self._device, self._prompting)
        self._max_tokens = generator.encode.max_tokens
        self._require_padding = generator.require_padding
        self._known = {"chat_template": generator.encode.chats}
        self.able = ("max_tokens", "logprobs", *(("conversation",) if generator.encode.chats else ()))
        self._answer = generator.answer
        if self.config.task != "classification":
            return generator
        labels = self.config.labels
        self._known["labels"] = list(labels)
        return lambda texts: [
            replace(output, answer=as_label(output.answer, labels)) for output in generator(texts)
        ]

    def _generates_labels(self) -> bool:
        """Whether a generator is asked for labels: a bare one, without a template, would just go on."""
        return self._prompting.template != TEXT and _architecture(Path(self.path)).endswith(GENERATORS)

    def _load_classifier(self) -> Callable[[Sequence[str]], list[Output]]:
        folder = Path(self.path)
        architecture = _architecture(folder)
        self.lean = can_import_lean(architecture, _tokenizer(folder))
        made = import_lean(architecture) if self.lean else _auto_model()
        import torch

        torch.set_num_threads(self.config.threads)
        model = load_weights(made, self.path).to(self._device)
        prompting = self._prompting._replace(chat=False)
        encode = PromptEncoder(self.path, self._max_tokens, positions_of(model), prompting)
        self._max_tokens = encode.max_tokens
        packing = can_pack(model)
        if not packing:
            self._require_padding = partial(encode.require_padding, model.config.pad_token_id)
        self.confidence = confidence_of(model.config, self.path)
        labels = self._labels(labels_of(model.config, self.path))
        lengths = [len(encode.tokenizer(label, add_special_tokens=False)["input_ids"]) for label in labels]
        self._longest_label = max(lengths)

        def infer(texts: Sequence[str]) -> list[Output]:
            packed = packing and len(texts) > 1
            rows = dict(encode(list(texts))) if packed else encode.batch(texts, model.config.pad_token_id)
            read = list(map(len, rows["input_ids"])) if packed else rows.pop("lengths")
            with torch.inference_mode():
                if packed:
                    logits = packed_logits(model, rows, self._device)
                else:
                    inputs = {name: torch.tensor(row, device=self._device) for name, row in rows.items()}
                    logits = model(**inputs).logits.tolist()
            best = [row.index(max(row)) for row in logits]
            return [
                Output(labels[at], logits=row, prompt_tokens=length, completion_tokens=lengths[at])
                for at, row, length in zip(best, logits, read, strict=True)
            ]

        return infer

    def _labels(self, own: list[str]) -> list[str]:
        try:
            labels, by_number = in_the_tasks_words(own, self.config.labels)
        except ConfigError as error:
            raise ConfigError(f"checkpoint {self.path} {error}") from error
        self._known = {"labels": labels, "labels_by_number": by_number}
        return labels

    def infer(self, text: str) -> Output:
        return self._infer([text])[0]

    def answer(self, asked: Asked) -> Output:
        if self._answer is None:
            return self.infer(asked.text)
        output = self._answer(asked)
        if self.config.task != "classification":
            return output
        return replace(output, answer=as_label(output.answer, self.config.labels))

    @property
    def longest_label(self) -> int:
        return self._longest_label or super().longest_label

    def infer_many(self, texts: Sequence[str]) -> list[Output]:
        """Answer them as one batch.

        Raises:
            ConfigError: the checkpoint has no token with which shorter texts are filled up.
        """
        return self._infer(texts)

    def require_batches(self) -> None:
        self._require_padding()

    def describe(self) -> dict[str, Any]:
        known = {"path": self.path, "lean_import": self.lean, "max_tokens": self._max_tokens}
        asked = {"template": self._prompting.template, **self._known}
        return {**super().describe(), **known, **asked}


def _auto_model() -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification


def _architecture(folder: Path) -> str:
    """The checkpoint's model class; empty where the directory does not say."""
    architectures = _read_json(folder / "config.json").get("architectures") or [""]
    return str(architectures[0])


def _tokenizer(folder: Path) -> str:
    """The class of the checkpoint's tokenizer; empty where the directory does not say."""
    if not (folder / "tokenizer.json").is_file():
        return ""
    return str(_read_json(folder / "tokenizer_config.json").get("tokenizer_class"))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    return found if isinstance(found, dict) else {}
