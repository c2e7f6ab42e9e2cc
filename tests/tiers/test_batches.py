"""Batches: who is inferred together, in which order the policy decides, and what becomes of failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from testbed.orchestrator.replay.replay import Outcome
from testbed.orchestrator.rows.requests import request_rows, with_lives
from testbed.orchestrator.rows.tiers import tier_rows
from testbed.results.audit import audit
from testbed.scenario.scenario import load_scenario
from testbed.scenario.workload.datasets import Example
from testbed.wire.parts import RequestBytes
from tests.tiers.nodes import Answer, ask, begin, node_config, records, running, wait_until
from tiers.api.asked import Asked, Message, Options
from tiers.api.fields import Ability
from tiers.errors import ConfigError, RequestError
from tiers.inference import Batching, Inference, InferenceQueue
from tiers.models.base import Model, ModelConfig, Output
from tiers.models.checkpoint.packed import packs
from tiers.policies import Decision

KIND = "tests.tiers.test_batches:Together"
HEEDFUL = "tests.tiers.test_batches:Heedful"
PATIENCE_S = 20.0
LABELS = ("negative", "positive")
ODD = 0.777
"""A confidence that a decision of these tests does not take."""


class Together(Model):
    """Answers with the confidence that a prompt begins with; ``bad`` ones fail, and fail what they are with.

    It notes who was asked together, and begins when it is told to; one such model at a time.
    """

    batches: list[list[str]] = []  # noqa: RUF012 (the class's, for the tests to see)
    go = threading.Event()

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.batches.clear()
        self.go.clear()

    def infer(self, text: str) -> Output:
        return self._answers([text])[0]

    def infer_many(self, texts: Sequence[str]) -> list[Output]:
        found = self._answers(texts)
        return found[1:] if "lost" in " ".join(texts) else found

    def _answers(self, texts: Sequence[str]) -> list[Output]:
        self.batches.append(list(texts))
        if not self.go.wait(PATIENCE_S):
            raise TimeoutError("nobody opened the gate")
        if any("bad" in text for text in texts):
            raise ValueError("a bad text")
        return [
            Output(
                None if "mute" in text else "positive",  # type: ignore[arg-type]
                confidence=float(text.split()[0]),
                prompt_tokens=2,
                completion_tokens=1,
            )
            for text in texts
        ]


class Heedful(Together):
    """Heeds conversations, which it answers one at a time."""

    able: Collection[Ability] = ["conversation"]


class OneByOne(Model):
    def infer(self, text: str) -> Output:
        return Output("positive", confidence=0.5)


def conversation(text: str) -> Asked:
    return Asked((Message("system", "brief"), Message("user", text)))


def config_of(kind: str = KIND) -> ModelConfig:
    return ModelConfig(kind, {}, "classification", LABELS, "cloud", 1)


@contextmanager
def queue_of(size: int, wait_s: float = 0.0, kind: str = KIND) -> Iterator[InferenceQueue]:
    queue = InferenceQueue(config_of(kind), None, Batching(size, wait_s))
    queue.load().result(PATIENCE_S)
    try:
        yield queue
    finally:
        Together.go.set()
        queue.close()


class Crowd:
    """Asks a queue, each in a thread of its own, and notes in which order the answers were decided.

    What has a confidence of 0.5 or more is kept.
    """

    def __init__(self, queue: InferenceQueue, threads: ThreadPoolExecutor) -> None:
        self._queue, self._threads = queue, threads
        self.decided: list[float] = []

    def asks(self, asked: str | Asked, within_s: float = PATIENCE_S) -> Future[Inference]:
        asked = Asked.plainly(asked) if isinstance(asked, str) else asked
        return self._threads.submit(self._queue.infer, asked, self._decide, time.monotonic() + within_s)

    def occupies_the_model(self) -> Future[Inference]:
        """All others wait for this one, until the gate opens."""
        first = self.asks("0.5 first")
        wait_until(lambda: bool(Together.batches))
        return first

    def lines_up(self, *texts: str | Asked) -> list[Future[Inference]]:
        """Ask one behind the other, so that the order is known."""
        asked = []
        for text in texts:
            before = len(self._queue._waiting)
            asked.append(self.asks(text))
            wait_until(lambda before=before: len(self._queue._waiting) > before)
        return asked

    def _decide(self, confidence: float) -> Decision:
        if confidence == ODD:
            raise LookupError("what a policy did not expect")
        self.decided.append(confidence)
        return Decision(confidence >= 0.5)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as found:
        yield found


def test_what_waits_is_inferred_together_and_decided_in_the_order_in_which_it_came(
    threads: ThreadPoolExecutor,
) -> None:
    with queue_of(4) as queue:
        crowd = Crowd(queue, threads)
        first = crowd.occupies_the_model()
        texts = [f"{(number * 7 % 10) / 10} film" for number in range(6)]
        asked = crowd.lines_up(*texts)
        Together.go.set()
        found = [future.result() for future in asked]
        assert Together.batches == [["0.5 first"], texts[:4], texts[4:]]
        assert crowd.decided == [0.5, *(float(text.split()[0]) for text in texts)]
        assert [one.confidence for one in found] == crowd.decided[1:]
        assert [one.decision.keep for one in found] == [one.confidence >= 0.5 for one in found]
        assert [one.batch_size for one in (first.result(), *found)] == [1, 4, 4, 4, 4, 2, 2]
        assert len({one.inference_ms for one in found[:4]}) == 1, "a batch has one duration"
        assert [one.queue_ms for one in found[:4]] == sorted(
            (one.queue_ms for one in found[:4]), reverse=True
        )


def test_a_batch_that_is_full_begins_at_once_and_one_that_is_not_when_the_wait_is_over(
    threads: ThreadPoolExecutor,
) -> None:
    with queue_of(3, wait_s=PATIENCE_S) as queue:
        Together.go.set()
        crowd = Crowd(queue, threads)
        full = [crowd.asks(f"0.{number} film") for number in range(3)]
        assert {future.result(PATIENCE_S / 2).batch_size for future in full} == {3}
    with queue_of(3, wait_s=0.01) as queue:
        Together.go.set()
        assert Crowd(queue, threads).asks("0.5 lonely").result(PATIENCE_S / 2).batch_size == 1


def test_a_bad_text_fails_alone(threads: ThreadPoolExecutor) -> None:
    with queue_of(8) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        good, bad, late = crowd.lines_up("0.1 film", "bad film", "0.2 film")
        Together.go.set()
        assert [future.result().batch_size for future in (good, late)] == [1, 1]
        with pytest.raises(RequestError, match="ValueError: a bad text") as caught:
            bad.result()
        assert (caught.value.status, caught.value.kind) == (500, "inference")
        assert crowd.decided == [0.5, 0.1, 0.2]


def test_a_model_that_loses_an_answer_is_asked_one_by_one(threads: ThreadPoolExecutor) -> None:
    with queue_of(8) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        asked = crowd.lines_up("0.1 lost", "0.2 film")
        Together.go.set()
        assert [future.result().confidence for future in asked] == [0.1, 0.2]


@pytest.mark.parametrize(
    "odd",
    [f"{ODD} that the policy cannot decide", "1.7 that is no confidence", "0.9 that leaves the model mute"],
    ids=["policy", "confidence", "answer"],
)
def test_an_answer_that_cannot_be_decided_fails_alone(threads: ThreadPoolExecutor, odd: str) -> None:
    with queue_of(8) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        before, failing, behind = crowd.lines_up("0.1 film", odd, "0.2 film")
        Together.go.set()
        assert [future.result().batch_size for future in (before, behind)] == [3, 3]
        with pytest.raises(RequestError, match=r"LookupError|not in \[0, 1\]|and no text"):
            failing.result()
        assert crowd.decided == [0.5, 0.1, 0.2]


def test_what_has_not_begun_at_its_deadline_never_will_and_its_batch_goes_on(
    threads: ThreadPoolExecutor,
) -> None:
    with queue_of(8) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        late = crowd.asks("0.9 late", within_s=0.05)
        with pytest.raises(RequestError, match="the deadline passed in the inference queue"):
            late.result()
        asked = crowd.lines_up("0.1 film", "0.2 film")
        Together.go.set()
        assert [future.result().batch_size for future in asked] == [2, 2]
        assert Together.batches[1:] == [["0.1 film", "0.2 film"]]
        assert crowd.decided == [0.5, 0.1, 0.2]


def test_a_batch_that_has_begun_is_waited_for_beyond_the_deadline(threads: ThreadPoolExecutor) -> None:
    with queue_of(8) as queue:
        begun = Crowd(queue, threads).asks("0.9 film", within_s=0.8)
        wait_until(lambda: bool(Together.batches))
        time.sleep(0.9)
        Together.go.set()
        assert begun.result().confidence == 0.9


def test_who_is_late_when_a_batch_fails_is_not_asked_again(threads: ThreadPoolExecutor) -> None:
    with queue_of(2, wait_s=PATIENCE_S) as queue:
        crowd = Crowd(queue, threads)
        late, bad = crowd.asks("0.9 film", within_s=0.8), crowd.asks("bad film")
        wait_until(lambda: bool(Together.batches))
        time.sleep(0.9)
        Together.go.set()
        with pytest.raises(RequestError, match="the deadline passed while its batch failed"):
            late.result()
        with pytest.raises(RequestError, match="ValueError: a bad text"):
            bad.result()
        assert [batch for batch in Together.batches if len(batch) == 1] == [["bad film"]]
        assert crowd.decided == []


def test_a_conversation_is_alone_waits_for_nobody_and_keeps_the_order(threads: ThreadPoolExecutor) -> None:
    with queue_of(4, wait_s=PATIENCE_S, kind=HEEDFUL) as queue:
        crowd = Crowd(queue, threads)
        first = crowd.asks(conversation("0.5 first"))
        wait_until(lambda: bool(Together.batches), PATIENCE_S / 2)
        asked = crowd.lines_up("0.1 film", "0.2 film", conversation("0.3 chat"), conversation("0.4 chat"))
        Together.go.set()
        sizes = [one.result(PATIENCE_S / 2).batch_size for one in (first, *asked)]
        assert sizes == [1, 2, 2, 1, 1]
        assert crowd.decided == [0.5, 0.1, 0.2, 0.3, 0.4]


def test_a_conversation_behind_another_that_has_not_begun_at_its_deadline_never_will(
    threads: ThreadPoolExecutor,
) -> None:
    with queue_of(2, wait_s=PATIENCE_S, kind=HEEDFUL) as queue:
        crowd = Crowd(queue, threads)
        first = crowd.asks(conversation("0.5 first"))
        wait_until(lambda: bool(queue._waiting or Together.batches))
        late = crowd.asks(conversation("0.9 late"), within_s=0.5)
        with pytest.raises(RequestError, match="the deadline passed in the inference queue"):
            late.result(PATIENCE_S / 2)
        Together.go.set()
        assert first.result(PATIENCE_S / 2).confidence == 0.5
        assert Together.batches == [["0.5 first"]]


def test_what_a_model_does_not_heed_keeps_nothing_from_a_batch(threads: ThreadPoolExecutor) -> None:
    with queue_of(4) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        stopped = Asked((Message("user", "0.3 film"),), Options(stop=("tiv",), sampling={"temperature": 0}))
        asked = crowd.lines_up("0.1 film", conversation("0.2 film"), stopped)
        Together.go.set()
        found = [one.result(PATIENCE_S / 2) for one in asked]
        assert [one.batch_size for one in found] == [3, 3, 3]
        assert [one.answer for one in found] == ["positive", "positive", "posi"]


def test_closing_drops_what_waits(threads: ThreadPoolExecutor) -> None:
    with queue_of(4) as queue:
        crowd = Crowd(queue, threads)
        first = crowd.occupies_the_model()
        asked = crowd.lines_up("0.1 film", "0.2 film")
        queue.close()
        for future in asked:
            with pytest.raises(CancelledError):
                future.result(PATIENCE_S / 2)
        Together.go.set()
        assert first.result().confidence == 0.5
        assert Together.batches == [["0.5 first"]]


def test_warming_up_and_calibrating_is_in_no_batch_and_waits_for_nobody(threads: ThreadPoolExecutor) -> None:
    with queue_of(4, wait_s=PATIENCE_S) as queue:
        Together.go.set()
        alone = threads.submit(queue.infer_alone, "0.3 film").result(PATIENCE_S / 2)
        assert (alone.confidence, alone.batch_size, alone.decision.keep) == (0.3, 1, True)


def test_without_batches_each_is_inferred_alone(threads: ThreadPoolExecutor) -> None:
    with queue_of(1) as queue:
        crowd = Crowd(queue, threads)
        crowd.occupies_the_model()
        crowd.lines_up("0.1 film", "0.2 film")
        Together.go.set()
        wait_until(lambda: len(crowd.decided) == 3)
        assert Together.batches == [["0.5 first"], ["0.1 film"], ["0.2 film"]]


def test_a_model_that_answers_one_at_a_time_serves_no_batches() -> None:
    kind = "tests.tiers.test_batches:OneByOne"
    with pytest.raises(ConfigError, match=f"model kind {kind} answers one prompt at a time; leave batch out"):
        InferenceQueue(config_of(kind), None, Batching(8)).load().result(PATIENCE_S)


SCENARIO = """
name: batches
task: {kind: classification, dataset: rotten_tomatoes, labels: [negative, positive]}
tiers:
  - {name: device, model: FILE:Together, cpus: 1, memory: 64MiB, batch: 8, wait: 5ms}
  - {name: edge,   model: FILE:Together, cpus: 1, memory: 64MiB, batch: 4}
  - {name: cloud,  model: {kind: recorded, service: 0ms}, cpus: 1, memory: 64MiB}
links:
  - {name: access, between: [device, edge], rate: 20mbit}
  - {name: core,   between: [edge, cloud],  rate: 100mbit}
methods:
  - {name: recserve, beta: 0.4, window: 25}
trace: {requests: 80, arrivals: {process: poisson, rate: 10}}
"""


def test_decisions_of_batches_are_found_again_by_the_audit(tmp_path: Path) -> None:
    path = tmp_path / "batches.yaml"
    path.write_text(SCENARIO.replace("FILE", __file__))
    scenario = load_scenario(path)
    texts = {f"r{number}": f"{number * 37 % 101 / 100} film" for number in range(80)}
    model = {"kind": KIND}
    with (
        running(node_config("cloud", None)) as cloud,
        running(node_config("edge", cloud.port, model=model, batch=4)) as edge,
        running(node_config("device", edge.port, model=model, batch=8, batch_wait_s=0.005)) as device,
        ThreadPoolExecutor(30) as crowd,
    ):
        nodes = {"device1": device, "edge1": edge, "cloud1": cloud}
        begin({"policy": "recserve", "beta": 0.4, "window": 25}, *nodes.values())
        Together.go.set()
        answers = dict(
            zip(texts, crowd.map(lambda name: ask(device.port, texts[name], name), texts), strict=True)
        )
        recorded = {name: records(node) for name, node in nodes.items()}
    of_node = {name: with_lives(recorded, {})[name] for name in nodes}
    examples = {name: Example(at, text, "positive") for at, (name, text) in enumerate(texts.items())}
    outcomes = [outcome(name, answer) for name, answer in answers.items()]
    crossed: dict[str, dict[str, RequestBytes]] = {link.name: {} for link in scenario.topology.links}
    rows = request_rows("recserve", outcomes, of_node, examples, scenario.topology, crossed)
    audited = audit(scenario, [asdict(row) for row in rows])
    assert (audited.differences, audited.not_shown) == ((), 0)
    sizes = [record["batch_size"] for record in recorded["device1"]]
    assert max(sizes) > 1, "nothing was inferred together"
    assert max(sizes) <= 8
    assert max(record["batch_size"] for record in recorded["edge1"]) <= 4
    assert len(recorded["edge1"]) > 10
    (device_row, *_) = tier_rows("recserve", of_node, {}, scenario.topology)
    took_ms = {(r["inference_ms"], r["batch_size"]) for r in recorded["device1"]}
    assert device_row.inference_ms == pytest.approx(sum(ms for ms, _ in took_ms)), "the model's own time"
    swapped = [asdict(row) for row in rows]
    ones = [row for row in swapped if row["window_seqs"][0] in (0, 79)]
    ones[0]["window_seqs"][0], ones[1]["window_seqs"][0] = (
        ones[1]["window_seqs"][0],
        ones[0]["window_seqs"][0],
    )
    assert audit(scenario, swapped).differences, "another order is another history"


def outcome(name: str, answer: Answer) -> Outcome:
    assert answer.status == 200, answer.raw
    return Outcome(
        name, "device1", 0.0, 0.0, 0.1, 100.0, "answered", answer.text, answer.json["recserve"]["tier"]
    )


def test_rows_of_several_prompts_are_short_and_keep_the_order() -> None:
    lengths = [100, 100, 56, 1, 300, 256, 20, 20]
    rows = [lengths[row] for row in packs(lengths)]
    assert rows == [[100, 100, 56], [1], [300], [256], [20, 20]]
    assert list(packs([5])) == [slice(0, 1)]
