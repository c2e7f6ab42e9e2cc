"""Token ids against ``AutoTokenizer``, whichever of a tokenizer's two files says what."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import ROOT
from tests.tiers.checkpoints import BERT_SETTINGS, TEXTS, bert_tokenizer, save_tokenizer
from tiers.models.checkpoint.lean import TOKENIZERS

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

WITH_TOKENS = "UPPER <new>lower [SEP] naïve<extra> Café[MASK] 電影<s> word"
LEAN = """
import json, sys
from tiers.models.checkpoint.lean import import_lean
import_lean("BertForSequenceClassification")
from tiers.models.checkpoint.tokens import PromptEncoder
for line in sys.stdin:
    path, asked, texts = json.loads(line)
    try:
        encode = PromptEncoder(path, asked, None)
        found = [{name: list(row) for name, row in encode(text).items()} for text in texts]
    except BaseException as error:
        found = "refused"
    print(json.dumps(found), flush=True)
"""
Ids = Callable[[Path, int, list[str]], Any]


@pytest.fixture(scope="module")
def lean_ids() -> Iterator[Ids]:
    """The inputs that a process with the lean import makes of texts."""
    process = subprocess.Popen(
        [sys.executable, "-c", LEAN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ask, hear = process.stdin, process.stdout

    def ids(path: Path, asked: int, texts: list[str]) -> Any:
        ask.write(json.dumps([str(path), asked, texts]) + "\n")
        ask.flush()
        return json.loads(hear.readline())

    yield ids
    ask.close()
    assert process.wait(30) == 0


def auto_ids(path: Path, asked: int, texts: list[str]) -> Any:
    """The inputs that ``AutoTokenizer`` makes of them, after a plain import."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        most = min(asked, tokenizer.model_max_length)
        return [dict(tokenizer(text, truncation=True, max_length=most)) for text in texts]
    except BaseException as error:  # a panic of the tokenizers' library is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return "refused"


SIDES = st.sampled_from(["left", "right"])
TRUNCATIONS = st.fixed_dictionaries(
    {
        "direction": st.sampled_from(["Left", "Right"]),
        "max_length": st.sampled_from([5, 128]),
        "strategy": st.sampled_from(["LongestFirst", "OnlyFirst"]),
        "stride": st.sampled_from([0, 2]),
    }
)
PADDINGS = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["BatchLongest", {"Fixed": 9}]),
        "direction": st.sampled_from(["Left", "Right"]),
        "pad_to_multiple_of": st.sampled_from([None, 4]),
        "pad_id": st.just(0),
        "pad_type_id": st.just(0),
        "pad_token": st.just("[PAD]"),
    }
)


def added(content: str) -> st.SearchStrategy[dict[str, Any]]:
    """A token that is added to the vocabulary."""
    flags = ("special", "normalized", "lstrip", "rstrip", "single_word")
    return st.fixed_dictionaries({"content": st.just(content), **{flag: st.booleans() for flag in flags}})


@st.composite
def tokenizer_files(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], str]:
    """``tokenizer.json``, ``tokenizer_config.json``, and the ``model_type`` beside them."""
    held = bert_tokenizer(
        draw(st.booleans()), draw(st.sampled_from([None, True, False])), draw(st.booleans())
    )
    held["truncation"] = draw(st.none() | TRUNCATIONS)
    held["padding"] = draw(st.none() | PADDINGS)
    tokens = draw(st.none() | added("<new>"))
    known = len(held["model"]["vocab"])
    held["added_tokens"] = [] if tokens is None else [{"id": known, **tokens}]
    said = draw(
        st.fixed_dictionaries(
            {"tokenizer_class": st.sampled_from(sorted(TOKENIZERS))},
            optional={
                "do_lower_case": st.booleans(),
                "strip_accents": st.booleans(),
                "tokenize_chinese_chars": st.booleans(),
                "truncation_side": SIDES,
                "padding_side": SIDES,
                "model_max_length": st.sampled_from([7, 512]),
                "split_special_tokens": st.booleans(),
                "additional_special_tokens": st.just(["<extra>"]),
                "added_tokens_decoder": st.builds(lambda token: {str(known + 3): token}, added("<extra>")),
                "model_input_names": st.just(["input_ids", "attention_mask"]),
                "add_bos_token": st.booleans(),
                "add_eos_token": st.booleans(),
                "add_prefix_space": st.booleans(),
                "bos_token": st.just("<s>"),
                "eos_token": st.just("</s>"),
                "cls_token": st.just("<s>"),
                "sep_token": st.sampled_from(["</s>", "<sep>"]),
                "unk_token": st.just("[MASK]"),
            },
        )
    )
    family = draw(st.sampled_from(["bert", "distilbert", "roberta", "llama"]))
    return held, {**BERT_SETTINGS, **said}, family


@given(files=tokenizer_files())
@example(files=(bert_tokenizer(lowercase=True), {**BERT_SETTINGS, "do_lower_case": False}, "bert"))
@example(files=(bert_tokenizer(lowercase=False), {**BERT_SETTINGS, "do_lower_case": True}, "bert"))
@settings(max_examples=150)
def test_a_lean_import_makes_the_ids_that_autotokenizer_makes(
    lean_ids: Ids, files: tuple[dict[str, Any], dict[str, Any], str]
) -> None:
    held, said, family = files
    texts = [*TEXTS, WITH_TOKENS]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        save_tokenizer(folder, held, said)
        (folder / "config.json").write_text(json.dumps({"model_type": family}))
        for asked in (16, 512):
            assert lean_ids(folder, asked, texts) == auto_ids(folder, asked, texts)
