"""Trains a demonstration model's adapter (``testbed models train``).

Run once by a maintainer; users get the committed weights. Batches are of sentences of like length
(less padding); some are of longer reviews instead, so that both styles are seen.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from testbed.host.embedded.base import LABEL2ID, load_base
from testbed.host.embedded.ladder import Rung

Example = tuple[str, str]
"""A text and its label."""
BATCH = 16
MAX_TRAINED_TOKENS = 160
SEED = 7


@dataclass(frozen=True)
class Recipe:
    """How a rung's adapter was trained: AdamW with one cycle of the learning rate over ``steps``.

    Until ``imdb_until`` (a step), each ``imdb_every``-th batch is ``imdb_batch`` reviews; of each its last
    ``imdb_words`` words, where a reviewer comes to a verdict, or its beginning if that is ``None``.
    """

    steps: int
    learning_rate: float
    imdb_every: int = 20
    imdb_batch: int = BATCH // 2
    imdb_words: int | None = None
    imdb_until: int | None = None


RECIPES = {
    "device": Recipe(steps=900, learning_rate=1e-3),
    "edge": Recipe(steps=750, learning_rate=4e-4),
    "cloud": Recipe(
        steps=1150, learning_rate=3e-4, imdb_every=2, imdb_batch=BATCH, imdb_words=45, imdb_until=700
    ),
}


def train(rung: Rung, sentences: Sequence[Example], reviews: Sequence[Example]) -> None:
    """Train ``rung`` on texts with labels, and write its adapter as half-precision safetensors."""
    recipe = RECIPES[rung.name]
    torch.manual_seed(SEED)
    model, tokenizer = load_base(rung)
    model = get_peft_model(model, _lora(rung))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    model.train()
    started, running = time.monotonic(), 0.69
    for step, texts in enumerate(_batches(recipe, sentences, reviews)):
        inputs = tokenizer(
            [text for text, _ in texts],
            padding=True,
            truncation=True,
            max_length=MAX_TRAINED_TOKENS,
            return_tensors="pt",
        )
        labels = torch.tensor([LABEL2ID[label] for _, label in texts])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(**inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        optimiser.zero_grad()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        running = 0.98 * running + 0.02 * loss.item()
        if step % 20 == 0:
            took = time.monotonic() - started
            print(f"{rung.name} step {step}/{recipe.steps} loss {running:.3f} {took:.0f} s", flush=True)
    _save(model, rung)


def _lora(rung: Rung) -> LoraConfig:
    bert = rung.base == "minilm"
    return LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rung.rank,
        lora_alpha=2 * rung.rank,
        layers_to_transform=list(range(rung.frozen, rung.layers)),
        target_modules=(
            ["query", "key", "value", "dense"]
            if bert
            else ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        ),
        exclude_modules=r".*pooler.*" if bert else None,
        modules_to_save=["classifier", "pooler"] if bert else ["score"],
    )


def _batches(
    recipe: Recipe, sentences: Sequence[Example], reviews: Sequence[Example]
) -> Iterator[list[Example]]:
    rng = random.Random(SEED)
    short, long = _by_length(sentences, rng), _by_length(reviews, rng)
    until = recipe.steps if recipe.imdb_until is None else recipe.imdb_until
    for step in range(recipe.steps):
        if step < until and step % recipe.imdb_every == recipe.imdb_every - 1:
            some = next(long)[: recipe.imdb_batch]
            yield [(_ending(text, recipe.imdb_words), label) for text, label in some]
        else:
            yield next(short)


def _ending(text: str, words: int | None) -> str:
    return text if words is None else " ".join(text.split()[-words:])


def _by_length(examples: Sequence[Example], rng: random.Random) -> Iterator[list[Example]]:
    while True:
        order = rng.sample(examples, len(examples))
        for start in range(0, len(order) - BATCH * 20 + 1, BATCH * 20):
            pool = sorted(order[start : start + BATCH * 20], key=lambda example: len(example[0]))
            cuts = [pool[at : at + BATCH] for at in range(0, len(pool), BATCH)]
            rng.shuffle(cuts)
            yield from cuts


def _save(model: PeftModel, rung: Rung) -> None:
    model.peft_config["default"].base_model_name_or_path = rung.base  # not a path of the trainer's machine
    model.save_pretrained(rung.adapter)
    (rung.adapter / "README.md").unlink(missing_ok=True)  # PEFT's empty form
    path = rung.adapter / "adapter_model.safetensors"
    halves = {name: tensor.half().contiguous() for name, tensor in load_file(path).items()}
    save_file(halves, path, metadata={"format": "pt"})
    path.chmod(0o644)
