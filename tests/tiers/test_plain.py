"""What models and policies give is made plain, or ends the one request: records, verdicts and node stay."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.tiers.nodes import ask, begin, call, node_config, records, running
from tiers.api.asked import Asked
from tiers.errors import ConfigError, RequestError
from tiers.inference import Batching, InferenceQueue, _Waiting
from tiers.models.base import Model, ModelConfig, Output, plain_output
from tiers.policies import Decision, Place, Policy, Request, plain_decision
from tiers.protocol import MAX_ANSWER_BYTES, encode_json
from tiers.server import Node

HALF = "half \ud800"
"""A text that JSON can hold, and UTF-8 cannot."""


class Nameless(Exception):
    def __str__(self) -> str:
        raise LookupError("no words for it")


def raising(error: BaseException) -> Callable[[], Any]:
    def give() -> Any:
        raise error

    return give


def token(**changes: Any) -> dict[str, Any]:
    return {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [], **changes}


def answer(**changes: Any) -> Callable[[], Any]:
    return lambda: Output(**{"answer": "positive", "confidence": 0.5, **changes})


SOUND: dict[str, Callable[[], Any]] = {
    "float32": answer(confidence=np.float32(0.5)),
    "float64": answer(confidence=np.float64(0.5)),
    "float16": answer(confidence=np.array(0.5, dtype=np.float16)),
    "tensor": answer(confidence=torch.tensor(0.5, requires_grad=True)),
    "decimal": answer(confidence=Decimal("0.5")),
    "fraction": answer(confidence=Fraction(1, 2)),
    "logits": answer(confidence=None, logits=np.zeros(2, dtype=np.float32)),
    "logits tensor": answer(confidence=None, logits=torch.zeros(2)),
    "text": answer(answer=np.str_("positive")),
    "counts": answer(prompt_tokens=np.int64(3), completion_tokens=torch.tensor(1)),
    "truths": answer(cut_off=np.bool_(False), made_up=np.False_),
    "time": answer(backend_ms=np.float32(1.5)),
    "tokens": answer(logprobs=[token(logprob=np.float32(-math.inf), token=np.str_("a"))]),
}
ODD: dict[str, Callable[[], Any]] = {
    "nan": answer(confidence=math.nan),
    "truth": answer(confidence=True),
    "word": answer(confidence="0.5"),
    "huge": answer(confidence=10**400),
    "complex": answer(confidence=0.5j),
    "two numbers": answer(confidence=np.array([0.5, 0.5])),
    "null": answer(answer=None),
    "number": answer(answer=1),
    "bytes": answer(answer=b"positive"),
    "list": answer(answer=["positive"]),
    "half": answer(answer=HALF),
    "long": lambda: answer(answer="x" * (17 << 20))(),
    "a little long": lambda: answer(answer="x" * (MAX_ANSWER_BYTES - 1))(),
    "long as JSON": lambda: answer(answer="\0" * (MAX_ANSWER_BYTES // 5))(),
    "half a token": answer(logprobs=[token(token=HALF)]),
    "no token": answer(logprobs=[{"token": "a"}]),
    "log of nothing": answer(logprobs=[token(logprob=math.nan)]),
    "count": answer(prompt_tokens=2.5),
    "negative": answer(completion_tokens=-1),
    "longest": answer(prompt_tokens=2**70),
    "time without end": answer(backend_ms=math.inf),
    "cut": answer(cut_off="no"),
    "nothing": lambda: None,
    "text alone": lambda: "positive",
    "pair": lambda: ("positive", 0.5),
    "likeness": lambda: SimpleNamespace(answer="positive", confidence=0.5),
    "exit": raising(SystemExit(0)),
    "interrupt": raising(KeyboardInterrupt()),
    "generator": raising(GeneratorExit()),
    "recursion": raising(RecursionError()),
    "memory": raising(MemoryError()),
    "nameless": raising(Nameless()),
    "half said": raising(ValueError(HALF)),
    "half a field": raising(RequestError(400, "invalid_request", "no", HALF)),
    "no field": raising(RequestError(400, "invalid_request", 5, object())),  # type: ignore[arg-type]
    "long said": raising(RequestError(500, "malformed", "x" * (MAX_ANSWER_BYTES + 1))),
    "another kind": raising(RequestError(200, HALF, HALF)),  # type: ignore[arg-type]
}
DECISIONS: dict[str, Callable[[], Any]] = {
    "keep": lambda: Decision(np.bool_(True), np.float32(0.25), np.int64(0), torch.tensor(1)),  # type: ignore[arg-type]
    "nan threshold": lambda: Decision(True, math.nan),
    "endless": lambda: Decision(True, -math.inf),
    "half a place": lambda: Decision(True, 0.25, 0.5, 1),  # type: ignore[arg-type]
    "far place": lambda: Decision(True, 0.25, 2**70, 1),
    "yes": lambda: Decision("yes"),  # type: ignore[arg-type]
    "bare": lambda: True,
    "none": lambda: None,
    "leave": raising(SystemExit(0)),
}


class Odd(Model):
    """Gives what the prompt names; to any other prompt, an ordinary answer."""

    def infer(self, text: str) -> Output:
        give = {**SOUND, **ODD}.get(text, answer())
        return give()  # type: ignore[no-any-return]

    def infer_many(self, texts: Any) -> list[Output]:
        return [self.infer(text) for text in texts]


class Judging(Policy):
    """Decides what the prompt names; passes one on that says so, and fails of one that says that."""

    knows = ("confidence", "prompt")

    def passes_on(self, request: Request) -> bool:
        if request.prompt == "pass by an exit":
            raise SystemExit(0)
        return False

    def judge(self, request: Request, confidence: float) -> Decision:
        return DECISIONS.get(str(request.prompt), lambda: Decision(True))()  # type: ignore[no-any-return]


class Leaving(Judging):
    def __init__(self, place: Place) -> None:
        raise SystemExit(0)


class Mute(Odd):
    """Says of itself what is no JSON."""

    def describe(self) -> dict[str, Any]:
        return {"place": object()}


class Numbered(Odd):
    def describe(self) -> dict[str, Any]:
        return {"classes": np.int64(2), "scales": torch.ones(2)}


KIND, POLICY = f"{__name__}:Odd", f"{__name__}:Judging"


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with (
        running(node_config("cloud", None)) as cloud,
        running(node_config("edge", cloud.port, model={"kind": KIND})) as edge,
    ):
        begin({"policy": POLICY}, edge)
        yield edge


@pytest.mark.parametrize("prompt", [*SOUND, "keep"])
def test_scalars_of_other_libraries_are_recorded_as_numbers(node: Node, prompt: str) -> None:
    begin({"policy": POLICY}, node)
    assert ask(node.port, prompt, "s1").text == "positive"
    (record,) = records(node)
    assert (record["outcome"], record["confidence"], record["answer"]) == ("answered", 0.5, "positive")
    assert record["kept"] is True
    if prompt == "keep":
        told = record["threshold"], record["window_seq"], record["window_length"]
        assert told == (0.25, 0, 1)


@pytest.mark.parametrize("prompt", [*ODD, *(name for name in DECISIONS if name != "keep"), "pass by an exit"])
def test_what_no_record_can_hold_ends_its_own_request_alone(node: Node, prompt: str) -> None:
    begin({"policy": POLICY}, node)
    outcome = "malformed" if prompt == "null" else "inference"
    assert ask(node.port, "before", "r1").status == 200
    odd = ask(node.port, prompt, "r2", deadline_ms=10_000)
    assert (odd.status, odd.json["error"]["type"]) == (500, outcome)
    assert ask(node.port, "behind", "r3").status == 200
    told = [(record["request_id"], record["outcome"]) for record in records(node)]
    assert told == [("r1", "answered"), ("r2", outcome), ("r3", "answered")]


def test_odd_answers_of_a_batch_fail_alone() -> None:
    config = ModelConfig(KIND, {}, "classification", ("negative", "positive"), "cloud", 1)
    queue = InferenceQueue(config, None, Batching(8))
    queue.load().result(20)
    prompts = ["float32", "half", "before", "likeness", "null", "behind"]
    batch = [_Waiting(Asked.plainly(prompt), None) for prompt in prompts]
    queue._serve(batch)
    queue.close()
    failed = [one.future.exception(0) is not None for one in batch]
    assert failed == [False, True, False, True, True, False]
    assert batch[-1].future.result(0).batch_size == len(batch)


def test_a_policy_that_leaves_is_refused_with_its_last_words(node: Node) -> None:
    body = encode_json({"method": "leaving", "policy": {"policy": f"{__name__}:Leaving"}})
    refused = call(node.port, "POST", "/control/reset", body, timeout_s=10)
    assert refused.status == 400
    assert refused.json["error"]["message"] == f"policy {__name__}:Leaving: SystemExit: 0"
    assert ask(node.port, "the method of before goes on").status == 200


def test_a_model_that_cannot_say_what_it_is_is_told_of_when_it_loads() -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot say what it is .*object is nothing that JSON has"),
        running(node_config("cloud", None, model={"kind": f"{__name__}:Mute"})),
    ):
        pass
    with running(node_config("cloud", None, model={"kind": f"{__name__}:Numbered"})) as numbered:
        model = call(numbered.port, "GET", "/control/status").json["model"]
        assert model == {"classes": 2, "scales": [1.0, 1.0]}


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=())),
    st.binary(max_size=3), st.floats(width=32).map(np.float32), st.integers(0, 99).map(np.int64),
    st.booleans().map(np.bool_), st.decimals(), st.lists(st.floats(), max_size=3), st.just(object()),
)  # fmt: skip


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ["answer", "logits", "token_logprobs", "prompt_tokens", "completion_tokens", "cut_off", "made_up",
     "backend_ms"], VALUES,
)))  # fmt: skip
def test_an_output_is_plain_or_refused(changes: dict[str, Any]) -> None:
    try:
        plain = plain_output(answer(**changes)())
    except (ValueError, TypeError):
        return
    told = encode_json(
        [plain.answer, plain.prompt_tokens, plain.completion_tokens, plain.cut_off, plain.backend_ms]
    )
    assert json.loads(told) == [
        plain.answer, plain.prompt_tokens, plain.completion_tokens, plain.cut_off, plain.backend_ms,
    ]  # fmt: skip
    assert {type(number) for number in [*(plain.logits or ()), *(plain.token_logprobs or ())]} <= {float}


@given(VALUES, VALUES, VALUES, VALUES)
def test_a_decision_is_plain_or_refused(keep: Any, threshold: Any, seq: Any, length: Any) -> None:
    try:
        plain = plain_decision(Decision(keep, threshold, seq, length))
    except (ValueError, TypeError):
        return
    assert json.loads(encode_json(plain)) == list(plain)
    assert type(plain.keep) is bool
