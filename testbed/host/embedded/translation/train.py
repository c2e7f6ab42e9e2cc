"""Trains a size of the translation ladder from scratch, for a given time, on a GPU or on CPUs.

    python -m testbed.host.embedded.translation.train cloud --minutes 12 --device cuda

Run by a maintainer; users get the committed weights. The text is fetched from Debian's packages, or read from
``--packages``, a directory of theirs. Weights and tokenizer are written to ``--out``.
"""

from __future__ import annotations

import argparse
import gzip
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import MarianMTModel

from testbed.console import Reporter
from testbed.host.embedded.translation.corpus import Corpus, Encoded, batches, read_corpus, train_tokenizer
from testbed.host.embedded.translation.ladder import SIZES, TOKENIZER, Size
from testbed.host.embedded.translation.marian import (
    PAD,
    committed_tokenizer,
    new_model,
    own_state,
)
from testbed.host.embedded.translation.packages import fetch_packages
from testbed.host.embedded.translation.quantised import pack

SEED = 1
WARM_UP = 0.12
"""Share of the time in which the learning rate rises; then it falls to a hundredth."""
LABEL_SMOOTHING = 0.1
IGNORED = -100
"""The label of padding, which no loss is computed for."""
REPORT_EVERY_S = 20.0


@dataclass(frozen=True)
class Recipe:
    """How a size is trained by AdamW: highest learning rate, dropout, and the tokens of a batch."""

    learning_rate: float
    dropout: float
    tokens: int


RECIPES = {
    "device": Recipe(3e-3, dropout=0.0, tokens=12_000),
    "edge": Recipe(2.2e-3, dropout=0.05, tokens=20_000),
    "cloud": Recipe(1.5e-3, dropout=0.1, tokens=12_000),
}


@dataclass(frozen=True)
class Trained:
    """A trained model, with the steps and the tokens of German that it took."""

    model: MarianMTModel
    steps: int
    tokens: int


class Budget:
    """How long a training lasts from now on: so many seconds, or a number of steps if that is sooner.

    A number of steps makes the same model on every machine.
    """

    def __init__(self, seconds: float, steps: int | None = None) -> None:
        self._started, self._seconds, self._steps = time.monotonic(), seconds, steps
        self.taken = 0
        """Steps so far."""

    def gone(self) -> float:
        """The share of it that is over."""
        by_time = (time.monotonic() - self._started) / self._seconds
        return by_time if self._steps is None else max(by_time, self.taken / self._steps)


def train(
    size: Size, recipe: Recipe, corpus: Corpus, tokenizer: Tokenizer, budget: Budget, device: str
) -> Trained:
    """Train ``size`` from scratch on ``corpus``."""
    torch.manual_seed(SEED)
    model = new_model(size, tokenizer.get_vocab_size(), recipe.dropout).to(device).train()
    optimiser = _optimiser(model)
    tokens = since = 0
    reported, running = time.monotonic(), torch.zeros((), device=device)
    for batch in batches(corpus, tokenizer, recipe.tokens, budget.gone, SEED):
        if (gone := budget.gone()) >= 1:
            break
        for group in optimiser.param_groups:
            falling = max(0.01, (1 - gone) / (1 - WARM_UP))
            group["lr"] = recipe.learning_rate * min(max(gone, 1e-3) / WARM_UP, falling)
        running += _step(model, optimiser, batch, device)
        budget.taken, since = budget.taken + 1, since + 1
        tokens += sum(len(german) for _, german in batch)
        if time.monotonic() - reported >= REPORT_EVERY_S:
            loss, percent = running.item() / since, f"{100 * gone:.0f} %"
            print(f"{size.name} step {budget.taken} tokens {tokens} loss {loss:.3f} {percent}", flush=True)
            reported, since = time.monotonic(), 0
            running.zero_()
    return Trained(model.eval(), budget.taken, tokens)


def _optimiser(model: MarianMTModel) -> torch.optim.Optimizer:
    """AdamW, whose decay spares vectors."""
    matrices = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim > 1]
    vectors = [weight for weight in model.parameters() if weight.requires_grad and weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=model.device.type == "cuda")


def _step(
    model: MarianMTModel, optimiser: torch.optim.Optimizer, batch: Sequence[Encoded], device: str
) -> torch.Tensor:
    """One step on a batch; its loss, as a tensor so that a GPU need not be waited for."""
    source, target = (
        torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(pair[side]) for pair in batch], batch_first=True, padding_value=PAD
        ).to(device, non_blocking=True)
        for side in (0, 1)
    )
    shifted = torch.nn.functional.pad(target[:, :-1], (1, 0), value=PAD)
    with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
        logits = model(
            input_ids=source, attention_mask=source != PAD, decoder_input_ids=shifted, use_cache=False
        ).logits
    labels = target.masked_fill(target == PAD, IGNORED)
    loss = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), label_smoothing=LABEL_SMOOTHING, ignore_index=IGNORED
    )
    torch.autograd.backward([loss])
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return loss.detach()


def write(trained: Trained, size: Size, tokenizer: Tokenizer, out: Path) -> None:
    """Write weights and tokenizer in the form of the repository's ``weights/translation``."""
    out.mkdir(parents=True, exist_ok=True)
    pack(own_state(trained.model), out / size.weights.name)
    (out / TOKENIZER.name).write_bytes(gzip.compress(tokenizer.to_str().encode(), mtime=0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, train, write, and print what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("--minutes", type=float, default=8.0, help="how long to train at most")
    parser.add_argument("--steps", type=int, help="train so many steps at most")
    parser.add_argument("--threads", type=int, help="of a CPU; by default as many as it has cores")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--packages", type=Path, help="directory of unpacked packages; by default fetched")
    parser.add_argument("--vocabulary", type=int, help="train a tokenizer of so many subwords, too")
    parser.add_argument("--out", type=Path, default=TOKENIZER.parent)
    chosen = parser.parse_args(arguments)
    size = SIZES[chosen.size]
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    corpus = read_corpus(chosen.packages or fetch_packages(Reporter().say))
    print(f"{len(corpus.prose)} sentences and {len(corpus.phrases)} phrases", flush=True)
    tokenizer = train_tokenizer(corpus, chosen.vocabulary) if chosen.vocabulary else committed_tokenizer()
    budget = Budget(60 * chosen.minutes, chosen.steps)
    trained = train(size, RECIPES[size.name], corpus, tokenizer, budget, chosen.device)
    write(trained, size, tokenizer, chosen.out)
    print(f"{size.name}: {trained.steps} steps, {trained.tokens} tokens")


if __name__ == "__main__":
    main()
