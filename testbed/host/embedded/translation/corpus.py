"""The training pairs: prose and dictionary of the packages, without the held-out sentences."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from testbed.host.embedded.translation.blocks import Pair
from testbed.host.embedded.translation.clean import normalise, plausible, sentence_pairs
from testbed.host.embedded.translation.heldout import without_held_out
from testbed.host.embedded.translation.marian import END, SPECIAL_TOKENS, UNKNOWN
from testbed.host.embedded.translation.sources import dictionary, segments

MAX_TOKENS = 100
"""Longer sentences are not trained on."""
_PLAIN = {
    "[„“”»«‟]": '"',
    "[‚‘’›‹´]": "'",
    "[–—−‐‑]": "-",
    "…": "...",
    r"[\u00a0\u202f\u2009\s]+": " ",
}
"""What a prompt's typographic characters become inside the model."""
LONGEST_PHRASE = 60
"""Characters of a dictionary's entry, at most."""


@dataclass(frozen=True)
class Corpus:
    """Clean pairs without the held-out ones: sentences of documentation, and phrases of a dictionary."""

    prose: list[Pair]
    phrases: list[Pair]


def read_corpus(packages: Path) -> Corpus:
    """The training pairs below a directory of unpacked packages, each once, in a fixed order."""
    prose = (
        pair for segment in segments(packages) for pair in sentence_pairs(segment.english, segment.german)
    )
    phrases = (
        (normalise(english), normalise(german))
        for english, german in dictionary(packages)
        if max(len(english), len(german)) <= LONGEST_PHRASE
    )
    return Corpus(*(without_held_out(_distinct(pairs)) for pairs in (prose, phrases)))


def _distinct(pairs: Iterator[Pair]) -> Iterator[Pair]:
    seen: set[tuple[str, str]] = set()
    for english, german in pairs:
        key = english.lower(), german.lower()
        if key not in seen and plausible(english, german):
            seen.add(key)
            yield english, german


def train_tokenizer(corpus: Corpus, vocabulary: int) -> Tokenizer:
    """A byte-pair encoding of both languages together; words, digits and signs are never joined."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[UNKNOWN]))
    plain = [normalizers.Replace(Regex(pattern), replacement) for pattern, replacement in _PLAIN.items()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *plain, normalizers.Strip()])
    words = Regex(r"▁?\p{L}+|▁?\p{N}|▁?[^▁\p{L}\p{N}]|▁+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(prepend_scheme="always", split=False),
            pre_tokenizers.Split(words, "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {SPECIAL_TOKENS[END]}", special_tokens=[(SPECIAL_TOKENS[END], END)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=SPECIAL_TOKENS,
        limit_alphabet=220,
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for pair in corpus.prose for text in pair), trainer)
    return tokenizer


Encoded = tuple[list[int], list[int]]


def batches(
    corpus: Corpus, tokenizer: Tokenizer, tokens: int, gone: Callable[[], float], seed: int
) -> Iterator[list[Encoded]]:
    """Batches of encoded pairs without end, each of at most ``tokens`` on its longer side, padding included.

    ``gone()`` is the share of the training that is over. An epoch has all of the prose; phrases are there
    until three quarters are gone. Until nine tenths are gone, half of the sentences are cut into other
    subwords than the tokenizer's best (BPE dropout; Provilkov et al., ACL 2020).
    """
    rng = random.Random(seed)
    plain = _encoded(tokenizer, corpus.prose + corpus.phrases, dropout=0.0)
    while True:
        chosen = plain if gone() < 0.75 else plain[: len(corpus.prose)]
        if gone() < 0.9:
            varied = _encoded(tokenizer, corpus.prose, dropout=0.1)
            mixed = [rng.choice(pair) for pair in zip(varied, plain, strict=False)]
            chosen = mixed + chosen[len(mixed) :]
        short = [pair for pair in chosen if max(map(len, pair)) <= MAX_TOKENS]
        short.sort(key=lambda pair: (max(map(len, pair)) + rng.randrange(3), rng.random()))
        cut = list(_cut(short, tokens))
        rng.shuffle(cut)
        yield from cut


def _encoded(tokenizer: Tokenizer, pairs: list[Pair], dropout: float) -> list[Encoded]:
    tokenizer.model.dropout = dropout or None
    english, german = (tokenizer.encode_batch([pair[side] for pair in pairs]) for side in (0, 1))
    tokenizer.model.dropout = None
    return [(one.ids, other.ids) for one, other in zip(english, german, strict=True)]


def _cut(pairs: list[Encoded], tokens: int) -> Iterator[list[Encoded]]:
    batch: list[Encoded] = []
    longest = 0
    for pair in pairs:
        longest = max(longest, *map(len, pair))
        if batch and (len(batch) + 1) * longest > tokens:
            yield batch
            batch, longest = [], max(map(len, pair))
        batch.append(pair)
    if batch:
        yield batch
