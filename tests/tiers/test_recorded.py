"""Recorded inferences: the file, the default, and what is refused."""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tiers.errors import ConfigError
from tiers.models.base import ModelConfig, load_model
from tiers.models.recorded import RecordedModel


def config(tier: str = "edge", **options: Any) -> ModelConfig:
    return ModelConfig("recorded", options, "classification", ("negative", "positive"), tier, 1)


def test_prompts_are_answered_from_the_file_by_text_or_hash_in_the_given_time(tmp_path: Path) -> None:
    by_hash = hashlib.sha256("schön".encode()).hexdigest()
    lines = [
        {"text": "bad", "answer": "negative", "confidence": 0.9, "service_ms": 30},
        {"prompt_sha256": by_hash, "answer": "positive", "confidence": 0.7},
    ]
    path = tmp_path / "inferences.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n", encoding="utf-8")
    model = load_model(config(path=str(path)))
    started = time.monotonic()
    assert (model.infer("bad").answer, model.infer("bad").confidence) == ("negative", 0.9)
    assert time.monotonic() - started >= 0.06
    assert model.infer("schön").answer == "positive"
    with pytest.raises(LookupError, match="no earlier inference"):
        model.infer("unheard of")


def test_the_default_answers_any_prompt_the_same_every_time_and_differently_by_tier() -> None:
    texts = [f"text {number}" for number in range(300)]
    here = [load_model(config(default={"service_ms": 0})).infer(text) for text in texts]
    again = [load_model(config(default={"service_ms": 0})).infer(text) for text in texts]
    other = [load_model(config("cloud", default={"service_ms": 0})).infer(text) for text in texts]
    assert here == again
    assert here != other
    confidences = [output.confidence or 0.0 for output in here]
    assert min(confidences) >= 0.5
    assert max(confidences) < 1
    assert statistics.mean(confidences) == pytest.approx(0.75, abs=0.03)
    assert {output.answer for output in here} == {"negative", "positive"}


def test_exponential_service_times_have_the_given_mean() -> None:
    model = load_model(config(default={"service_ms": 8.0, "distribution": "exponential"}))
    assert isinstance(model, RecordedModel)
    times = [model._service_ms(f"text {number}") for number in range(4000)]
    assert statistics.mean(times) == pytest.approx(8, rel=0.06)
    assert statistics.pstdev(times) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: not a recorded inference"),
        ("[]", "line 1: not a recorded inference"),
        ('{"text": "a", "answer": "b", "confidence": 2}', "confidence in"),
        ('{"text": "a", "answer": "b", "confidence": 0.5, "service_ms": -1}', "service_ms must be"),
        ('{"prompt_sha256": "00", "answer": "b", "confidence": 0.5}', "SHA-256"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_text(line)
    with pytest.raises(ConfigError, match=says):
        load_model(config(path=str(path)))


def test_options_that_do_not_exist_or_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read recorded inferences"):
        load_model(config(path=str(tmp_path / "missing.jsonl")))
    with pytest.raises(ConfigError, match="needs a path, a default"):
        load_model(config())
    with pytest.raises(ConfigError, match="no option pathh"):
        load_model(config(pathh="x"))
    with pytest.raises(ConfigError, match=r"default\.distribution"):
        load_model(config(default={"distribution": "normal"}))
    with pytest.raises(ConfigError, match="no model kind 'magic'"):
        load_model(ModelConfig("magic", {}, "classification", (), "edge", 1))


def test_a_recorded_tier_imports_neither_torch_nor_numpy_nor_pyarrow() -> None:
    code = (
        "import sys, tiers.server, tiers.models.recorded;"
        "print([name for name in ('torch', 'numpy', 'pyarrow', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
