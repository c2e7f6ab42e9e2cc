"""Train a rung's adapter: ``python -m testbed.embedded.train cloud``.

Run once by a maintainer; users get the committed weights. Batches are of like length (less
padding), one in twenty of them IMDB reviews cut to 160 tokens, so that both data sets' style is seen.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from safetensors.torch import load_file, save_file

from testbed.datasets import Example, load
from testbed.embedded.base import LABEL2ID, load_base
from testbed.embedded.ladder import RUNGS, Rung

BATCH = 16
IMDB_EVERY = 20
IMDB_TOKENS = 160
SEED = 7


def train(rung: Rung) -> None:
    """Train ``rung`` on the ``train`` splits and write its adapter as half-precision safetensors."""
    torch.manual_seed(SEED)
    model, tokenizer = load_base(rung)
    model = get_peft_model(model, _lora(rung))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rung.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rung.learning_rate, total_steps=rung.steps, pct_start=0.1
    )
    model.train()
    started, running = time.monotonic(), 0.69
    for step, (batch, limit) in enumerate(_batches(rung.steps)):
        inputs = tokenizer(
            [example.text for example in batch],
            padding=True,
            truncation=True,
            max_length=limit,
            return_tensors="pt",
        )
        labels = torch.tensor([LABEL2ID[example.reference] for example in batch])
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
            print(f"{rung.name} step {step}/{rung.steps} loss {running:.3f} {took:.0f} s", flush=True)
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


def _batches(steps: int) -> Iterator[tuple[list[Example], int]]:
    rng = random.Random(SEED)
    short = _by_length(load("rotten_tomatoes", "train"), rng)
    long = _by_length(load("imdb", "train"), rng)
    for step in range(steps):
        if step % IMDB_EVERY == IMDB_EVERY - 1:
            yield next(long)[: BATCH // 2], IMDB_TOKENS
        else:
            yield next(short), 128


def _by_length(examples: tuple[Example, ...], rng: random.Random) -> Iterator[list[Example]]:
    while True:
        order = rng.sample(examples, len(examples))
        for start in range(0, len(order) - BATCH * 20 + 1, BATCH * 20):
            pool = sorted(order[start : start + BATCH * 20], key=lambda example: len(example.text))
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rung", choices=sorted(RUNGS))
    train(RUNGS[parser.parse_args().rung])
