"""Recorded inferences: the file, the default, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.host.assets import MOVIE_REVIEWS, fetch
from testbed.scenario.workload.datasets import load
from tiers.errors import ConfigError
from tiers.models.base import ModelConfig, load_model
from tiers.models.recorded import MAX_LINE_BYTES, drawn_ms, read_recordings
from tiers.prompts import clean

LABELS = ("negative", "positive")


def config(tier: str = "edge", **options: Any) -> ModelConfig:
    return ModelConfig("recorded", options, "classification", LABELS, tier, 1)


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


def recorded(folder: Path, *lines: dict[str, Any]) -> Path:
    """A file of recordings; what a line leaves out is the same for all."""
    path = folder / "answers.jsonl"
    whole = [{"answer": "positive", "confidence": 0.9, "service_ms": 0, **line} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in whole), encoding="utf-8")
    return path


def test_a_text_as_its_data_set_has_it_is_the_prompt_that_is_sent(tmp_path: Path) -> None:
    published = 'the "film"\u2014a  mess\u2026 <br /><br />(really)'
    model = load_model(config(path=str(recorded(tmp_path, {"text": published, "confidence": 0.61}))))
    assert model.infer("the filma mess br br really").confidence == 0.61
    assert model.infer(published).confidence == 0.61


def test_every_published_text_of_a_data_set_is_found_by_the_prompt_that_it_becomes(tmp_path: Path) -> None:
    source = fetch(MOVIE_REVIEWS) / "movie_reviews" / "data" / "combined_movie_reviews.csv"
    with source.open(encoding="utf-8", newline="") as lines:
        published = {row: record["text"] for row, record in enumerate(csv.DictReader(lines))}
    examples = load("rotten_tomatoes", "test")
    answers = [{"text": published[example.row], "answer": example.reference} for example in examples]
    assert sum(published[example.row] != example.text for example in examples) > 200
    recordings = read_recordings(recorded(tmp_path, *answers), LABELS)
    found = [recordings.of(example.text) for example in examples]
    assert [recording and recording.answer for recording in found] == [e.reference for e in examples]


@given(st.text())
def test_a_text_is_found_before_and_after_it_was_cleaned(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recordings = read_recordings(recorded(Path(folder), {"text": text}), LABELS)
    assert (recordings.of(text) is not None) is (recordings.of(clean(text)) is not None) is bool(clean(text))


def test_lines_of_one_prompt_that_say_the_same_are_one(tmp_path: Path) -> None:
    path = recorded(tmp_path, {"text": "so-so!", "answer": "POSITIVE"}, {"text": '"so-so!"'})
    recordings = read_recordings(path, LABELS)
    assert (len(recordings.by_prompt), recordings.unlike_times) == (1, 0)


@pytest.mark.parametrize("other", [{"answer": "negative"}, {"confidence": 0.7}])
def test_lines_of_one_prompt_that_say_different_things_are_refused_with_both(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    path = recorded(tmp_path, {"text": "first"}, {"text": "so-so!"}, {"text": '"so-so!"', **other})
    with pytest.raises(ConfigError) as caught:
        read_recordings(path, LABELS)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}, line 3: its prompt, once cleaned, is that of line 2")
    assert sentence.endswith("keep one of the two")


def test_of_service_times_that_differ_the_first_stands_and_their_number_is_known(tmp_path: Path) -> None:
    path = recorded(tmp_path, {"text": "twice", "service_ms": 3}, {"text": "twice", "service_ms": 4})
    recordings = read_recordings(path, LABELS)
    assert recordings.unlike_times == 1
    assert (recording := recordings.of("twice")) is not None
    assert recording.service_ms == 3


@pytest.mark.parametrize(
    ("answers", "expected", "by_number"),
    [
        (["NEGATIVE", "POSITIVE"], ["negative", "positive"], False),
        (["Positive"], ["positive"], False),
        (["LABEL_1", "LABEL_0", "LABEL_1"], ["positive", "negative", "positive"], True),
    ],
)
def test_answers_are_matched_to_the_tasks_labels_as_a_checkpoints_are(
    tmp_path: Path, answers: list[str], expected: list[str], by_number: bool
) -> None:
    lines = [{"text": f"text {at}", "answer": answer} for at, answer in enumerate(answers)]
    model = load_model(config(path=str(recorded(tmp_path, *lines))))
    assert [model.infer(f"text {at}").answer for at in range(len(answers))] == expected
    assert model.describe()["labels_by_number"] is by_number


@pytest.mark.parametrize("answers", [["pos", "neg"], ["LABEL_2"], ["LABEL_0", "positive"], ["positive "]])
def test_answers_that_are_none_of_the_labels_are_refused(tmp_path: Path, answers: list[str]) -> None:
    lines = [{"text": f"text {at}", "answer": answer} for at, answer in enumerate(answers)]
    with pytest.raises(ConfigError, match=r"answers with .*; the task's labels are negative, positive"):
        read_recordings(recorded(tmp_path, *lines), LABELS)


def test_a_task_without_labels_takes_any_answer(tmp_path: Path) -> None:
    recordings = read_recordings(recorded(tmp_path, {"text": "a", "answer": "LABEL_1, nicht wahr"}), ())
    assert (found := recordings.of("a")) is not None
    assert found.answer == "LABEL_1, nicht wahr"


def test_only_if_asked_to_an_answer_is_made_up_for_what_the_file_lacks_and_says_so(tmp_path: Path) -> None:
    path = str(recorded(tmp_path, {"text": "known"}))
    strict = load_model(config(path=path, default={"service_ms": 0}))
    with pytest.raises(LookupError, match="no earlier inference"):
        strict.infer("unknown")
    model = load_model(config(path=path, default={"service_ms": 0}, missing="made-up"))
    assert [model.infer(text).made_up for text in ("known", "unknown")] == [False, True]
    assert load_model(config(default={"service_ms": 0})).infer("known").made_up
    with pytest.raises(ConfigError, match="missing must be made-up, not 'error'"):
        load_model(config(path=path, default={"service_ms": 0}, missing="error"))
    with pytest.raises(ConfigError, match="made up need a default"):
        load_model(config(path=path, missing="made-up"))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    path = recorded(tmp_path, {"text": "a"})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_recordings(path, LABELS).of("a") is not None


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
    times = [drawn_ms(8.0, "exponential", "device", f"text {number}") for number in range(4000)]
    assert statistics.mean(times) == pytest.approx(8, rel=0.06)
    assert statistics.pstdev(times) == pytest.approx(8, rel=0.1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: not a recorded inference"),
        ("[]", "line 1: not a recorded inference"),
        ('{"text": "a", "answer": "b", "confidence": 2}', "confidence in"),
        ('{"text": "a", "answer": "b", "confidence": 0.5, "service_ms": -1}', "service_ms must be"),
        ('{"text": "a", "answer": "b", "confidence": 0.5, "service_s": 1}', "unknown key 'service_s'"),
        ('{"prompt_sha256": "00", "answer": "b", "confidence": 0.5}', "SHA-256"),
        ('{"text": "a", "answer": "b", "confidence": NaN}', "confidence in"),
        ('{"text": "a", "answer": "b", "confidence": true}', "confidence in"),
        ('{"text": "a", "answer": "b", "confidence": 1e999}', "confidence in"),
        ('{"text": "a", "answer": 1, "confidence": 0.5}', "answer of text"),
        (r'{"text": "a", "answer": "\ud800", "confidence": 0.5}', "answer is no text that UTF-8 can hold"),
        ("[" * 100_000, "line 1: not a recorded inference"),
        (" " * (MAX_LINE_BYTES + 1), "longer than 4 MiB"),
        ("\udcff", "line 1: not a recorded inference"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(line.encode(errors="surrogateescape"))
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
