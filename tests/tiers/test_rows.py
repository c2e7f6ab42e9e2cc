"""Rows of an answer matrix in the file that a recorded tier opens."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT
from tiers.confidence import confidence_in, make_confidence
from tiers.errors import ConfigError
from tiers.models.base import ModelConfig, Output, load_model
from tiers.models.rows import RecordedRows, write_rows

ABOUT = {"confidence": "seq2class", "tokens": "tokenizer", "sha256": "0f"}
CLASSIFIED = Output("positive", logits=(0.1, -1e-300), prompt_tokens=7, completion_tokens=1)
PRODUCED = Output("schön", token_logprobs=(-0.25, -1 / 3), cut_off=True)
KNOWN = Output("", confidence=0.5)


def key(prompt: str) -> bytes:
    return hashlib.sha256(prompt.encode()).digest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "it's 100%?#.sqlite"
    write_rows(
        path, [(key("a"), (CLASSIFIED, 30.0)), (key("b"), (PRODUCED, None)), (key("ü!"), (KNOWN, 0.0))], ABOUT
    )
    return path


def config(rows: Path, **options: object) -> ModelConfig:
    given = {"rows": str(rows), **options}
    return ModelConfig("recorded", given, "classification", ("negative", "positive"), "edge", 1)


def test_rows_are_found_by_the_prompt_as_it_was_sent_to_the_last_bit(path: Path) -> None:
    rows = RecordedRows(path)
    assert (rows.of("a"), rows.of("b"), rows.of("ü!")) == ((CLASSIFIED, 30.0), (PRODUCED, None), (KNOWN, 0.0))
    assert rows.of("a ") is None
    assert (rows.count, rows.about) == (3, ABOUT)


def test_a_recorded_model_answers_with_what_any_confidence_is_computed_from(path: Path) -> None:
    model = load_model(config(path))
    started = time.monotonic()
    output = model.infer("a")
    assert time.monotonic() - started >= 0.03
    assert output == CLASSIFIED
    assert (model.confidence, model.tokens) == ("seq2class", "tokenizer")
    assert confidence_in(output, make_confidence("sigmoid")) == pytest.approx(0.525, abs=1e-3)
    assert model.describe() == {
        "kind": "recorded",
        "tokens": "tokenizer",
        "recordings": 3,
        "recorded": ABOUT,
    }


def test_a_given_time_is_for_rows_without_one_and_missing_prompts_are_made_up_only_if_asked(
    path: Path,
) -> None:
    model = load_model(config(path, default={"service_ms": 40}, missing="made-up"))
    started = time.monotonic()
    assert model.infer("b") == PRODUCED
    assert time.monotonic() - started >= 0.04
    assert model.infer("unheard of").made_up
    with pytest.raises(LookupError, match="no earlier inference"):
        load_model(config(path)).infer("unheard of")


def test_a_file_of_another_kind_is_refused(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read recorded rows"):
        load_model(config(tmp_path / "none.sqlite"))
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"SQLite format 3\0" + bytes(200))
    with pytest.raises(ConfigError, match="cannot read recorded rows"):
        load_model(config(other))
    with pytest.raises(ConfigError, match="a path or rows, not both"):
        load_model(config(path, path=str(path)))


def test_a_file_that_nobody_may_write_beside_is_read(path: Path) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    assert RecordedRows(path).of("a") is not None
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]


def test_opening_it_imports_neither_torch_nor_numpy_nor_pyarrow(path: Path) -> None:
    code = (
        "import sys; from tiers.models.base import ModelConfig, load_model; import tiers.server;"
        f"model = load_model(ModelConfig('recorded', {{'rows': {str(path)!r}}}, 'x', (), 'edge', 1));"
        "model.infer('a');"
        "print([name for name in ('torch', 'numpy', 'pyarrow', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
