"""Data sets are recorded in batches, whole or not at all, with how models were asked."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from testbed.cli import app
from testbed.console import Reporter
from testbed.errors import TestbedError
from testbed.report.matrices import matrix_table, provenance
from testbed.scenario.matrix import Matrix, read_matrix, write_matrix
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.datasets import load
from testbed.study.asked import models_named, models_of, rows_of, task_of
from testbed.study.record import Effort, record
from tests import ROOT, SCENARIOS
from tests.tiers.parents import parent

LENGTHS = '''
from tiers.models.base import Model, Output

class ByLength(Model):
    """Long texts are good; a batch rounds what it puts out."""

    def infer(self, text):
        score = len(text) / 100
        return Output("positive" if score > 1 else "negative", logits=[1.0, score], prompt_tokens=len(text))

    def infer_many(self, texts):
        scores = [round(len(text) / 100) for text in texts]
        return [Output("positive" if score > 1 else "negative", logits=[1.0, score]) for score in scores]

class Failing(Model):
    def infer(self, text):
        raise MemoryError("out of memory")

class Leaving(Model):
    def infer(self, text):
        raise SystemExit(0)

class Unloadable(Failing):
    def __init__(self, config):
        raise RuntimeError("no weights")

class Scalars(Model):
    """Puts out what numpy has."""

    def infer(self, text):
        import numpy as np
        return Output(np.str_("positive"), logits=np.zeros(2, np.float32), prompt_tokens=np.int64(7))

class Bare(Failing):
    """Does not do what a model's constructor does."""

    def __init__(self, config):
        pass

class Half(Scalars):
    def infer(self, text):
        return Output("half \\ud800", logits=[0.0, 1.0])

class Lossy(Scalars):
    def infer_many(self, texts):
        return super().infer_many(texts)[1:]

class Mute(Model):
    """Answers of which no confidence can be computed."""

    def infer(self, text):
        return Output("positive")

class Slow(Model):
    def infer(self, text):
        import time
        time.sleep(60)
'''
TASK = task_of("rotten_tomatoes")


def silent(_sentence: str) -> None:
    """Tell nobody."""


def plugin(folder: Path, name: str = "ByLength") -> str:
    path = folder / "lengths.py"
    path.write_text(LENGTHS)
    return f"{path}:{name}"


def recorded(words: list[str], effort: Effort, limit: int | None = 50, engine: str | None = None) -> Matrix:
    rows = rows_of(TASK, "test", limit)
    return record(models_named(words, TASK, engine, effort, silent), rows, effort, Reporter())


def test_what_batches_change_is_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = recorded([f"mine={plugin(tmp_path)}"], Effort(batch=16, timed=50))
    examples = rows_of(TASK, "test", 50).examples
    texts = [example.text for example in examples]
    flips = matrix.header.models["mine"].flips
    assert flips is not None
    assert flips.samples == 50
    assert flips.answers == sum((len(t) / 100 > 1) != (round(len(t) / 100) > 1) for t in texts) > 0

    def sure(score: float) -> float:
        return 1 / (1 + math.exp(-abs(score - 1)))

    changes = [abs(sure(len(text) / 100) - sure(round(len(text) / 100))) for text in texts]
    assert flips.confidence == pytest.approx(max(changes))
    assert matrix.models["mine"].logits == [[1.0, round(len(text) / 100)] for text in texts]
    told = " ".join(capsys.readouterr().err.split())
    assert f"of 50 rows that were asked alone as well, batches of 16 changed {flips.answers} answers" in told


def test_batches_of_one_are_what_a_tier_gives_and_every_row_is_timed(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    matrix = recorded([f"mine={plugin(tmp_path)}"], Effort(batch=1, timed=1000))
    write_matrix(matrix, path)
    read = read_matrix(path)
    assert read.header.models["mine"].flips is None
    assert None not in read.models["mine"].service_ms
    service = read.header.models["mine"].service_ms
    assert service is not None
    times = [time_ms or 0.0 for time_ms in read.models["mine"].service_ms]
    assert service.samples == 50
    assert service.mean == pytest.approx(float(np.mean(times)), abs=1e-3)
    examples = {example.row: example for example in load("rotten_tomatoes", "test")}
    for row, reference, tokens in zip(
        read.rows.tolist(), read.references, read.models["mine"].prompt_tokens, strict=True
    ):
        assert (reference, tokens) == (examples[row].reference, len(examples[row].text))
    assert matrix_table("m", read).row_count == 1
    assert provenance(read.header)[0].startswith("mine: cpu ")


def test_a_limit_takes_the_rows_of_a_trace_of_so_many_requests() -> None:
    from testbed.scenario.requests import build_trace

    scenario = load_scenario(SCENARIOS / "smoke.yaml", requests=25, seed=7)
    asked = {request.row for request in build_trace(scenario)}
    rows = [example.row for example in rows_of(scenario.task, "test", 25, 7).examples]
    assert rows == sorted(asked)
    assert len(rows_of(scenario.task, "test", None).examples) == len(load("rotten_tomatoes", "test"))
    assert len(rows_of(scenario.task, "train", 10).examples) == 10


def test_an_engine_is_asked_for_a_batch_at_the_same_time() -> None:
    def answer(_number: int, connection: socket.socket) -> bool:
        time.sleep(0.2)
        choice = {
            "message": {"content": "Positive, I think."},
            "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -0.25}]},
        }
        body = json.dumps(
            {"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        ).encode()
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    rows_of(TASK, "test", 20)  # reads the data set, which takes as long as some answers
    with parent(answer) as (port, _):
        began = time.monotonic()
        engine = f"http://user:secret@127.0.0.1:{port}/v1"
        matrix = recorded(["big"], Effort(batch=20, timed=2), 20, engine)
        assert time.monotonic() - began < 20 * 0.2
    told = matrix.header.models["big"]
    assert (told.kind, told.model, told.revision, told.device) == ("openai", "big", None, None)
    assert told.options["engine"] == f"http://127.0.0.1:{port}"
    assert "secret" not in matrix.header.model_dump_json()
    assert matrix.models["big"].answers == ["positive"] * 20
    assert matrix.models["big"].token_logprobs == [[-0.5, -0.25]] * 20
    assert matrix.models["big"].completion_tokens == [2] * 20


def test_a_model_that_fails_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(
        TestbedError, match=r"mine: fails at row \d+ .*out of memory\); take a smaller --batch"
    ):
        recorded([f"mine={plugin(tmp_path, 'Failing')}"], Effort())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Leaving", r"fails at row \d+ .*\(SystemExit: 0\)"),
        ("Unloadable", r"cannot be loaded \(RuntimeError: no weights\)"),
        ("Bare", r"Bare cannot say what it is \(AttributeError: "),
        ("Half", r"fails at row \d+ .*the answer is no text that UTF-8 can hold"),
        ("Lossy", r"fails at row \d+ .*ValueError: zip"),
    ],
)
def test_what_a_matrix_cannot_hold_is_told_in_one_sentence(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(TestbedError, match=f"mine: {says}"):
        recorded([f"mine={plugin(tmp_path, name)}"], Effort(batch=4))


def test_scalars_of_numpy_are_recorded_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    write_matrix(recorded([f"mine={plugin(tmp_path, 'Scalars')}"], Effort(batch=4)), path)
    read = read_matrix(path).models["mine"]
    assert (read.logits[0], read.prompt_tokens[0]) == ([0.0, 0.0], 7)


def test_answers_without_a_confidence_are_told_at_the_first_batch(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"mine: fails at row \d+ or in its batch \(ValueError: "):
        recorded([f"mine={plugin(tmp_path, 'Mute')}"], Effort(batch=4))


def test_a_device_that_is_not_here_is_refused_before_anything_loads(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match=r"--device: cuda:99 is not to be had here \(.*\); leave it out"):
        recorded([plugin(tmp_path)], Effort(device="cuda:99"))


def test_what_is_recorded_already_is_refused() -> None:
    with pytest.raises(
        TestbedError, match="device: is recorded already; name the model that gave the answers"
    ):
        models_of(load_scenario(SCENARIOS / "recorded.yaml"), Effort(), silent)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["=embedded/edge"], "lacks a name or a model; write NAME=MODEL"),
        (["embedded/egde"], "--model embedded/egde: no embedded model 'egde'; did you mean edge"),
        (["a=recorded/none.parquet"], "no such file or directory 'none.parquet'"),
    ],
)
def test_a_model_that_is_none_is_told(words: list[str], says: str) -> None:
    with pytest.raises(TestbedError, match=says):
        models_named(words, TASK, None, Effort(), silent)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "m.txt"], "--out: m.txt must end with .parquet"),
        (["--out", "README.md/m.parquet"], "README.md/m.parquet cannot be written in"),
        (["--device", "tpu"], "--device: must be cpu or cuda, not 'tpu'"),
    ],
)
def test_what_cannot_be_written_or_run_is_told_before_any_inference(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").touch()
    command = ["models", "record", "--model", plugin(tmp_path, "Slow"), "--dataset", "rotten_tomatoes"]
    with pytest.raises(TestbedError, match=says):
        app([*command, "--limit", "3", *arguments], standalone_mode=False)
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_engine_whose_address_is_none_is_told_by_its_option() -> None:
    with pytest.raises(TestbedError, match=r"^--openai foo: must be the url of its engine, such as http://"):
        models_named(["big"], TASK, "foo", Effort(), silent)


def test_ctrl_c_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    command = ["models", "record", "--model", plugin(tmp_path, "Slow"), "--dataset", "rotten_tomatoes"]
    process = subprocess.Popen(
        [sys.executable, "-m", "testbed.cli", *command, "--limit", "3", "--out", str(out / "m.parquet")],
        cwd=ROOT,
        env=os.environ,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    told = ""
    while "recording 3 rows" not in told:
        told += process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(30) == 130
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert list(out.iterdir()) == []


@pytest.mark.models
@pytest.mark.timeout(600)
def test_the_committed_matrix_is_what_the_embedded_models_answer() -> None:
    """A dozen rows of each, one at a time: the same answers, and logits that differ by rounding alone."""
    matrix = read_matrix(SCENARIOS / "recorded" / "rotten_tomatoes.parquet")
    scenario = load_scenario(SCENARIOS / "quickstart.yaml")
    whole = rows_of(scenario.task, "test", None)
    assert [example.row for example in whole.examples] == matrix.rows.tolist()
    places = range(0, len(matrix), 175)
    alone = Effort(batch=1, timed=0)
    rows = replace(whole, examples=[whole.examples[at] for at in places])
    live = record(models_of(scenario, alone, silent), rows, alone, Reporter())
    assert list(live.models) == list(matrix.models)
    for name, now in live.models.items():
        then = matrix.models[name]
        assert live.header.models[name].revision == matrix.header.models[name].revision
        assert now.answers == [then.answers[at] for at in places]
        for column in ("prompt_tokens", "completion_tokens"):
            assert getattr(now, column) == [getattr(then, column)[at] for at in places]
        for logits, at in zip(now.logits, places, strict=True):
            assert logits == pytest.approx(then.logits[at], abs=1e-4)
