"""A matrix gives each row's output, from which any confidence is computed as a tier computes it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.scenario.matrix.made import classifier, generator, matrix
from tiers.models.base import Output


def test_outputs_are_those_of_a_model() -> None:
    outputs = list(matrix(generator("edge"), labels=[]).models["edge"].outputs())
    assert outputs[1] == Output(
        "schön", token_logprobs=[-0.5], prompt_tokens=3, completion_tokens=1, cut_off=True
    )
    assert len(outputs) == 3


def test_confidences_follow_their_name() -> None:
    device = classifier("device")
    assert device.confidences("seq2class") == pytest.approx(
        [1 / (1 + math.exp(-1.75)), 1 / (1 + math.exp(-2.125)), 1 / (1 + math.exp(-0.2))]
    )
    assert device.confidences("sigmoid")[0] == pytest.approx(1 / (1 + math.exp(-1.5)))
    edge = generator("edge")
    assert edge.confidences("seq2seq") == pytest.approx([math.exp(-0.15), math.exp(-0.5), 0])


def test_a_users_confidence_that_fails_is_an_error_of_its_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from tiers.confidence import Confidence\n\n\nclass Mine(Confidence):\n"
        "    def of(self, output):\n        return {-0.5: 0.75}[output.token_logprobs[0]]\n"
    )
    edge, mine = generator("edge"), f"{path}:Mine"
    assert edge.confidences(mine, {1}).tolist() == [0.75]
    with pytest.raises(ValueError, match=r"^KeyError: "):
        edge.confidences(mine)


def test_a_confidence_that_lacks_what_it_is_computed_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs token log-probabilities"):
        classifier("device").confidences("seq2seq")
