"""The training script makes a model that has learnt, in the form of the committed weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.host.embedded.translation.ladder import SIZES, Size
from testbed.host.embedded.translation.marian import committed_tokenizer, save_checkpoint, with_state
from testbed.host.embedded.translation.quantised import unpack
from testbed.host.embedded.translation.train import main
from testbed.host.embedded.translation.translate import translate
from tests.host.embedded.translation import small_packages

TOY = Size("toy", d_model=32, ffn=64, encoder_layers=1, decoder_layers=1, heads=2)


def test_a_toy_size_is_trained_from_packages_and_translates_what_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from testbed.host.embedded.translation import train

    monkeypatch.setitem(SIZES, "toy", TOY)
    monkeypatch.setitem(train.RECIPES, "toy", train.Recipe(1e-2, dropout=0.0, tokens=400))
    packages = small_packages.write_packages(tmp_path / "packages")
    out = tmp_path / "weights"
    main(["toy", "--steps=400", "--threads=1", f"--packages={packages}", "--vocabulary=150", f"--out={out}"])
    tokenizer = committed_tokenizer(out / "tokenizer.json.gz")
    model = with_state(TOY, unpack(out / "toy.safetensors"), tokenizer.get_vocab_size())
    save_checkpoint(model, tokenizer, tmp_path / "checkpoint")
    pairs = small_packages.sentence_pairs()
    made = translate(tmp_path / "checkpoint", [english for english, _ in pairs])
    right = sum(translation.text == german for translation, (_, german) in zip(made, pairs, strict=True))
    assert right >= 70
    assert all(translation.mean_logprob < 0 for translation in made)
