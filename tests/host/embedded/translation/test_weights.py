"""The committed weights: small, restored as they were, and opened by the tiers' own model as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from testbed.host.embedded.translation.ladder import SIZES, TOKENIZER
from testbed.host.embedded.translation.marian import committed_tokenizer, save_checkpoint, with_state
from testbed.host.embedded.translation.quantised import pack, unpack
from testbed.host.embedded.translation.translate import translate
from tiers.models.base import ModelConfig, load_model

SENTENCES = [
    "Click the button to save the file.",
    "This option is not available.",
    "It can be used for that.",
]


def test_all_that_is_committed_has_less_than_20_megabytes() -> None:
    assert sum(path.stat().st_size for path in TOKENIZER.parent.iterdir()) < 20e6


def test_a_matrix_comes_back_to_half_a_step_of_its_row(tmp_path: Path) -> None:
    torch.manual_seed(3)
    state = {
        "matrix": torch.randn(5, 40) * torch.tensor([[1e-3], [1], [5], [0], [20]]),
        "vector": torch.randn(7),
    }
    pack(state, tmp_path / "x.safetensors")
    back = unpack(tmp_path / "x.safetensors")
    step = state["matrix"].abs().amax(dim=1, keepdim=True) / 127
    assert torch.all((back["matrix"] - state["matrix"]).abs() <= 0.52 * step + 1e-6)
    assert torch.equal(back["vector"], state["vector"].half().float())


def test_a_missing_tensor_is_told() -> None:
    state = unpack(SIZES["device"].weights)
    state.pop("model.shared.weight")
    with pytest.raises(ValueError, match=r"device: missing tensors \['model.shared.weight'\]"):
        with_state(SIZES["device"], state, committed_tokenizer().get_vocab_size())


def test_a_tier_translates_as_the_evaluation_does_with_the_same_confidence(tmp_path: Path) -> None:
    tokenizer, size = committed_tokenizer(), SIZES["device"]
    model = with_state(size, unpack(size.weights), tokenizer.get_vocab_size())
    save_checkpoint(model, tokenizer, tmp_path / "checkpoint")
    made = translate(tmp_path / "checkpoint", SENTENCES)
    tier = load_model(
        ModelConfig("transformers", {"path": str(tmp_path / "checkpoint")}, "translation", (), "device", 1)
    )
    for sentence, translation in zip(SENTENCES, made, strict=True):
        output = tier.infer(sentence)
        assert output.answer == translation.text
        assert output.token_logprobs is not None
        mean = sum(output.token_logprobs) / len(output.token_logprobs)
        assert mean == pytest.approx(translation.mean_logprob, abs=1e-4)
    assert "Datei" in made[0].text
