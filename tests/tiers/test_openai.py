"""Another engine as a tier's model: what it is sent, what is read from its answer, how it may fail."""

from __future__ import annotations

import gzip
import json
import math
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.tiers.nodes import HOST, ask, free_port, node_config, records, running
from tests.tiers.parents import Behaviour, parent
from tiers.api.asked import Asked, Message, Options
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, load_model
from tiers.models.openai import EngineError


def engine_model(port: int, task: str = "classification", **options: Any) -> Model:
    given = {"url": f"http://{HOST}:{port}/v1", "model": "big", **options}
    return load_model(ModelConfig("openai", given, task, ("negative", "positive"), "cloud", 1))


def saying(content: Any, logprobs: list[float] | None, status: str = "200 OK") -> Behaviour:
    tokens = None if logprobs is None else {"content": [{"token": "t", "logprob": p} for p in logprobs]}
    return sending(lambda: {"choices": [{"message": {"content": content}, "logprobs": tokens}]}, status)


def sending(made: Callable[[], Any], status: str = "200 OK") -> Behaviour:
    def behave(_number: int, connection: socket.socket) -> bool:
        body = json.dumps(made()).encode()
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    return behave


def test_the_prompt_goes_unchanged_and_token_log_probabilities_are_the_confidence() -> None:
    with parent(saying(" Positive.\n", [math.log(0.9), math.log(0.4)])) as (port, seen):
        model = engine_model(port, system="Say negative or positive.", params={"top_k": 1})
        output = model.infer('„so“ – "la\\la"')
        assert output.answer == "positive"
        assert output.token_logprobs == pytest.approx([math.log(0.9), math.log(0.4)])
        assert model.confidence == "inverse_perplexity"
        sent = json.loads(seen.requests[0].partition(b"\r\n\r\n")[2])
        assert sent["messages"] == [
            {"role": "system", "content": "Say negative or positive."},
            {"role": "user", "content": '„so“ – "la\\la"'},
        ]
        assert (sent["model"], sent["logprobs"], sent["temperature"], sent["top_k"]) == ("big", True, 0, 1)


@pytest.mark.parametrize(
    ("logprobs", "read"),
    [
        ({"content": [{"logprob": -0.5}, {"logprob": -1}]}, [-0.5, -1.0]),
        ({"tokens": ["a", "b", "c"], "token_logprobs": [None, -0.5, -1]}, [-0.5, -1.0]),
        ({"content": None, "token_logprobs": [-0.5, -1.0]}, [-0.5, -1.0]),
    ],
)
def test_log_probabilities_are_read_as_openai_writes_and_wrote_them(
    logprobs: dict[str, Any], read: list[float]
) -> None:
    choice = {"message": {"content": "positive"}, "logprobs": logprobs}
    with parent(sending(lambda: {"choices": [choice]})) as (port, _):
        assert engine_model(port).infer("x").token_logprobs == read


@pytest.mark.parametrize(
    "logprobs",
    [
        {
            "content": [
                {"token": "a", "logprob": -0.5, "top_logprobs": [
                    {"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -math.inf},
                ]},
            ],
        },
        {
            "tokens": ["", "a"],
            "token_logprobs": [None, -0.5],
            "top_logprobs": [None, {"a": -0.5, "b": -math.inf}],
        },
    ],
    ids=["today", "before"],
)  # fmt: skip
@pytest.mark.parametrize(("wanted", "others"), [(0, []), (1, ["a"]), (2, ["a", "b"])])
def test_as_many_other_tokens_are_told_as_were_asked_for_in_json(
    logprobs: dict[str, Any], wanted: int, others: list[str]
) -> None:
    choice = {"message": {"content": "a"}, "logprobs": logprobs}
    with parent(sending(lambda: {"choices": [choice]})) as (port, _):
        options = Options(top_logprobs=wanted)
        (entry,) = engine_model(port).answer(Asked((Message("user", "x"),), options)).logprobs or ()
    assert (entry["token"], entry["logprob"]) == ("a", -0.5)
    assert [top["token"] for top in entry["top_logprobs"]] == others
    json.dumps(entry, allow_nan=False)


def test_each_of_a_batch_has_the_time_that_the_engine_took_for_it() -> None:
    with parent(saying("positive", [-0.1])) as (port, _):
        model = {"kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big"}
        config = node_config("cloud", None, model=model, batch=4, batch_wait_s=10.0)
        with running(config) as cloud, ThreadPoolExecutor(4) as crowd:
            list(crowd.map(lambda number: ask(cloud.port, f"text {number}"), range(4)))
            found = records(cloud)
    assert [record["batch_size"] for record in found] == [4] * 4
    assert all(0 < record["backend_ms"] <= record["inference_ms"] for record in found)


def test_the_time_that_an_engine_took_is_apart_of_the_inference() -> None:
    def slow(number: int, connection: socket.socket) -> bool:
        time.sleep(0.05)
        return saying("positive", [-0.1])(number, connection)

    with parent(slow) as (port, _):
        model = {"kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big"}
        with running(node_config("cloud", None, model=model)) as cloud:
            ask(cloud.port, "x")
            (record,) = records(cloud)
            assert 50 <= record["backend_ms"] <= record["inference_ms"]
    with running(node_config("cloud", None)) as cloud:
        ask(cloud.port, "x")
        assert records(cloud)[0]["backend_ms"] is None


def test_an_engine_that_closed_an_idle_connection_is_asked_once_more() -> None:
    def closes(number: int, connection: socket.socket) -> bool:
        return number != 1 and saying("positive", [-0.1])(number, connection)

    with parent(closes) as (port, seen):
        model = engine_model(port)
        assert [model.infer("x").answer for _ in range(2)] == ["positive"] * 2
        assert (len(seen.requests), seen.connections) == (3, 2)
    with parent(lambda *_: False) as (port, seen):
        with pytest.raises(EngineError, match="Connection aborted"):
            engine_model(port).infer("x")
        assert len(seen.requests) == 2


def in_chunks(_number: int, connection: socket.socket) -> bool:
    """An answer without end."""
    connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            connection.sendall(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
    return False


def dripping(_number: int, connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
    with suppress(OSError):
        for _ in range(100):
            connection.sendall(b" ")
            time.sleep(0.1)
    return False


PACKED = gzip.compress(b" " * (20 << 20), 1)


def packed(_number: int, connection: socket.socket) -> bool:
    head = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    with suppress(OSError):
        connection.sendall(head % len(PACKED) + PACKED)
    return False


def nested(_number: int, connection: socket.socket) -> bool:
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000)
    return True


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (in_chunks, "sent an answer of more than 4194304 bytes"),
        (dripping, "had not ended its answer after 0.5 s"),
        (packed, "compressed its answer, which nobody asked it to"),
        (nested, r"sent no answer with token log-probabilities \(RecursionError"),
    ],
)
def test_what_an_engine_sends_is_bounded_in_bytes_and_time(behaviour: Behaviour, said: str) -> None:
    with parent(behaviour) as (port, _), pytest.raises(EngineError, match=said):
        engine_model(port, timeout_s=0.5).infer("x")


def test_through_a_relay_an_engine_is_asked_by_the_host_of_its_url() -> None:
    with parent(saying("positive", [-0.1])) as (port, seen):
        via = f"{HOST}:{port}"
        assert engine_model(1, url="http://gpu.example:8001/v1", via=via).infer("x").answer == "positive"
        head = seen.requests[0].partition(b"\r\n\r\n")[0].splitlines()
        assert head[0] == b"POST /v1/chat/completions HTTP/1.1"
        assert [line for line in head if line.lower().startswith(b"host:")] == [b"Host: gpu.example:8001"]


def test_tls_ends_at_the_engine_which_must_be_the_urls_host(tmp_path: Path) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl += ["-subj", "/CN=gpu.example", "-addext", "subjectAltName=DNS:gpu.example", "-days", "2"]
    subprocess.run([*openssl, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context, asked_for = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    with parent(saying("positive", [-0.1]), context) as (port, seen):
        via, ca = f"{HOST}:{port}", str(certificate)
        assert engine_model(1, url="https://gpu.example/v1", via=via, ca=ca).infer("x").answer == "positive"
        assert b"Host: gpu.example\r\n" in seen.requests[0]
        with pytest.raises(EngineError, match="CERTIFICATE_VERIFY_FAILED"):
            engine_model(1, url="https://gpu.example/v1", via=via).infer("x")
        with pytest.raises(EngineError, match=r"other\.example"):
            engine_model(1, url="https://other.example/v1", via=via, ca=ca).infer("x")
    assert asked_for == ["gpu.example", "gpu.example", "other.example"]


@pytest.mark.parametrize(
    ("sent", "counts"),
    [
        ({"usage": {"prompt_tokens": 31, "completion_tokens": 2, "total_tokens": 33}}, (31, 2)),
        ({"usage": None}, (2, 1)),
        ({}, (2, 1)),
        ({"usage": {"prompt_tokens": "31", "completion_tokens": -1}}, (2, 1)),
    ],
)
def test_usage_is_the_engines_or_else_counts_words(sent: dict[str, Any], counts: tuple[int, int]) -> None:
    choice = {
        "message": {"content": "positive"},
        "logprobs": {"content": [{"logprob": -0.1}]},
        "finish_reason": "length",
    }
    with parent(sending(lambda: {"choices": [choice], **sent})) as (port, _):
        model = {"kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big"}
        with running(node_config("cloud", None, model=model)) as cloud:
            answer = ask(cloud.port, "two words").json
            assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == counts
            assert answer["usage"]["total_tokens"] == sum(counts)
            assert answer["choices"][0]["finish_reason"] == "length"
            (record,) = records(cloud)
            counted = counts if counts == (31, 2) else (None, None)  # words are no tokens
            assert (record["prompt_tokens"], record["generated_tokens"]) == counted


@pytest.mark.parametrize(
    ("labels", "says", "answer"),
    [
        (("negative", "positive"), "LABEL_1", "positive"),
        (("negative", "positive"), "POSITIVE, I think", "positive"),
        (("negative", "positive"), "positively awful", "positively awful"),
        (("no", "not sure"), "Not sure.", "not sure"),
        (("1", "10"), "10", "10"),
    ],
)
def test_an_answer_is_the_label_that_it_is_or_begins_with_as_a_word(
    labels: tuple[str, ...], says: str, answer: str
) -> None:
    with parent(saying(says, [-0.1])) as (port, _):
        options = {"url": f"http://{HOST}:{port}/v1", "model": "big"}
        model = load_model(ModelConfig("openai", options, "classification", labels, "cloud", 1))
        assert model.infer("x").answer == answer


def test_other_tasks_get_the_engines_words() -> None:
    with parent(saying("positive spin", [-0.1])) as (port, _):
        assert engine_model(port, task="translation").infer("x").answer == "positive spin"


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (saying("x", [-1.0], "503 Service Unavailable"), "answered 503"),
        (saying("x", None), "does it support logprobs"),
        (sending(lambda: {"choices": []}), "no answer with token log-probabilities"),
        (sending(lambda: "text"), "no answer with token log-probabilities"),
        (saying(["x"], [-1.0]), "the content of its message is no text"),
    ],
)
def test_an_engine_that_fails_is_named_with_what_it_did(behaviour: Behaviour, says: str) -> None:
    with parent(behaviour) as (port, _), pytest.raises(EngineError, match=says):
        engine_model(port).infer("x")


def test_an_engine_that_is_silent_or_absent_is_given_up() -> None:
    def silent(_number: int, _connection: socket.socket) -> bool:
        time.sleep(1)
        return False

    with parent(silent) as (port, _):
        started = time.monotonic()
        with pytest.raises(EngineError, match="Read timed out"):
            engine_model(port, timeout_s=0.2).infer("x")
        assert time.monotonic() - started < 0.8
    with pytest.raises(EngineError, match="refused"):
        engine_model(free_port()).infer("x")


def test_a_tier_whose_engine_fails_answers_with_the_error_and_serves_on() -> None:
    with parent(saying("x", [-1.0], "500 Oops")) as (port, _):
        model = {"kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big"}
        with running(node_config("cloud", None, model=model)) as cloud:
            for number in range(2):
                answer = ask(cloud.port, "x", f"r{number}")
                assert (answer.status, answer.json["error"]["type"]) == (500, "inference")
                assert "answered 500" in answer.json["error"]["message"]
            assert [record["outcome"] for record in records(cloud)] == ["inference"] * 2


def test_an_engine_that_answers_nothing_has_not_answered_with_an_empty_text() -> None:
    with parent(saying(None, [-1.0])) as (port, _):
        model = {"kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big"}
        with running(node_config("cloud", None, model=model)) as cloud:
            answer = ask(cloud.port, "x", "r1")
            assert (answer.status, answer.json["error"]["type"]) == (500, "malformed")
            assert "its content is null" in answer.json["error"]["message"]


@pytest.mark.parametrize("text", ["\ufffd", ""])
def test_an_answer_that_is_cut_off_in_its_first_character_is_one_without_log_probabilities(text: str) -> None:
    choice = {"message": {"content": text}, "finish_reason": "length"}  # as llama.cpp sends it
    counts = {"prompt_tokens": 33, "completion_tokens": 2}
    with parent(sending(lambda: {"choices": [choice], "usage": counts})) as (port, _):
        output = engine_model(port).infer("x")
        assert (output.answer, output.token_logprobs, output.completion_tokens) == (text, [], 2)
        assert output.cut_off


def test_wrong_options_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match="url of its engine"):
        engine_model(1, url="10.0.0.5:8000")
    with pytest.raises(ConfigError, match="environment has no NO_SUCH_KEY"):
        engine_model(1, api_key_env="NO_SUCH_KEY")
    with pytest.raises(ConfigError, match="no option tiemout_s"):
        engine_model(1, tiemout_s=3)


def test_a_conversation_and_its_options_reach_the_engine_and_log_probabilities_come_back() -> None:
    top = {"token": "and", "logprob": -1.5, "bytes": None, "other": 1}
    token = {"token": "here", "logprob": -0.1, "bytes": [104], "top_logprobs": [top], "id": 7}
    choice = {"message": {"content": "here and there"}, "logprobs": {"content": [token]}}
    with parent(sending(lambda: {"choices": [choice]})) as (port, seen):
        model = {
            "kind": "openai", "url": f"http://{HOST}:{port}/v1", "model": "big", "system": "Brief.",
            "template": "Q: {text}", "max_tokens": 20,
        }  # fmt: skip
        with running(node_config("cloud", None, model=model, task={"kind": "generation"})) as cloud:
            asking = OpenAI(base_url=f"http://{HOST}:{cloud.port}/v1", api_key="none", max_retries=0)
            answered = asking.chat.completions.create(
                model="tier",
                messages=[
                    {"role": "developer", "content": "Kind."},
                    {"role": "user", "content": "one"},
                    {"role": "assistant", "content": "1"},
                    {"role": "user", "content": "two"},
                ],
                temperature=0.5,
                top_p=0.9,
                seed=3,
                stop=[" there", "x"],
                max_completion_tokens=30,
                logprobs=True,
                top_logprobs=1,
            ).choices[0]
            plain = asking.chat.completions.create(
                model="tier", messages=[{"role": "user", "content": "two"}], max_completion_tokens=5
            ).choices[0]
        bodies = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in seen.requests]
    assert bodies[0] == {
        "model": "big",
        "max_tokens": 20,
        "temperature": 0.5,
        "logprobs": True,
        "top_p": 0.9,
        "seed": 3,
        "stop": [" there", "x"],
        "top_logprobs": 1,
        "messages": [
            {"role": "system", "content": "Brief."},
            {"role": "system", "content": "Kind."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Q: two"},
        ],
    }
    assert answered.message.content == "here and"
    assert answered.logprobs is not None
    (entry,) = answered.logprobs.content or []
    assert (entry.token, entry.logprob, entry.bytes) == ("here", -0.1, [104])
    assert [(other.token, other.logprob) for other in entry.top_logprobs] == [("and", -1.5)]
    assert (bodies[1]["max_tokens"], "stop" in bodies[1], plain.logprobs) == (5, False, None)
