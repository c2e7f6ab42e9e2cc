"""What clients of the OpenAI API send, and what they read: each field works, has no effect, or is refused."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.tiers.nodes import HOST, Answer, ask, begin, call, chain, node_config, prompt_body, running
from tiers.api.asked import read_request
from tiers.protocol import COMPLETIONS_PATH, encode_json
from tiers.server import Node

USER = {"role": "user", "content": "one two"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Node]:
    with running(node_config("cloud", None)) as node:
        yield node


def chat(node: Node, **fields: Any) -> Answer:
    return ask(node.port, encode_json({"model": "tier", "messages": [USER], **fields}))


WITHOUT_EFFECT: dict[str, dict[str, Any]] = {
    "no stream": {"stream": False, "stream_options": None},
    "null": {"stream": None, "n": None, "tools": None, "logprobs": None, "stop": None, "model": None},
    "a bound above a label": {"max_tokens": 5, "max_completion_tokens": 5.0},
    "greedy": {"temperature": 0, "top_p": 0.3, "presence_penalty": 0, "frequency_penalty": 0.0},
    "no bias": {"logit_bias": {}},
    "one answer": {"n": 1},
    "a seed": {"seed": 1, "service_tier": "auto"},
    "about the user": {
        "user": "me", "store": False, "metadata": {"a": "b"}, "safety_identifier": "h",
        "prompt_cache_key": "k",
    },
    "a stop that no label has": {"stop": ["\n", "xyz"]},
    "plain text": {"response_format": {"type": "text"}, "modalities": ["text"]},
    "no log-probabilities": {"logprobs": False, "top_logprobs": None},
    "its own name": {"model": "cloud"},
    "a system and a developer": {
        "messages": [{"role": "system", "content": "brief"}, {"role": "developer", "content": "kind"}, USER]
    },
    "an earlier turn": {"messages": [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": None},
        USER,
    ]},
    "parts": {"messages": [
        {"role": "user", "content": [{"type": "text", "text": part} for part in ("one ", "two")]},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("which", WITHOUT_EFFECT)
def test_what_changes_no_label_is_taken(cloud: Node, which: str) -> None:
    answer = chat(cloud, **WITHOUT_EFFECT[which])
    assert answer.status == 200, answer.raw
    assert answer.json["recserve"] == chat(cloud).json["recserve"]
    assert answer.json["model"] == "cloud"


PART = {"type": "text", "text": "x"}


def _parts(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("n", {"n": 2}, "invalid_value", "a tier gives one answer"),
    ("n", {"n": True}, "invalid_type", "a whole number"),
    ("logprobs", {"logprobs": True}, "unsupported_parameter", "has no log-probabilities"),
    ("top_logprobs", {"top_logprobs": 3}, "unsupported_parameter", "has no log-probabilities"),
    ("temperature", {"temperature": 0.7}, "unsupported_value", "its likeliest answer"),
    ("temperature", {"temperature": "hot"}, "invalid_type", 'not "hot"'),
    ("logit_bias", {"logit_bias": {"50256": -100}}, "invalid_value", "its likeliest answer"),
    ("max_tokens", {"max_tokens": 0}, "invalid_value", "at least 1"),
    ("response_format.type", {"response_format": {"type": "json_object"}}, "invalid_value", "json_object"),
    ("modalities[1]", {"modalities": ["text", "audio"]}, "invalid_value", "audio"),
    ("tools", {"tools": [{"type": "function"}]}, "unsupported_parameter", "call no"),
    ("tool_choice", {"tool_choice": "required"}, "unsupported_parameter", "call no"),
    ("functions", {"functions": []}, "unsupported_parameter", "call no"),
    ("reasoning_effort", {"reasoning_effort": "low"}, "unsupported_parameter", "left out"),
    ("store", {"store": True}, "invalid_value", "store nothing"),
    ("stop", {"stop": 7}, "invalid_type", "not 7"),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}, "invalid_value", "at most 4"),
    ("stream", {"stream": "yes"}, "invalid_type", "true or false"),
    ("stream_options.more", {"stream_options": {"more": 1}}, "unknown_parameter", "leave it out"),
    ("top_k", {"top_k": 40}, "unknown_parameter", "leave it out"),
    ("metadata.a", {"metadata": {"a": 1}}, "invalid_type", "a string"),
    ("messages", {"messages": []}, "invalid_value", "at least 1"),
    ("messages", {"messages": "hello"}, "invalid_type", "a list"),
    ("messages", {"messages": [{"role": "system", "content": "x"}]}, "invalid_value", "one of role user"),
    ("messages[0].role", {"messages": [{"role": "tool", "content": "x"}]}, "invalid_value", '"user"'),
    ("messages[0].role", {"messages": [{"content": "x"}]}, "missing_required_parameter", "missing"),
    ("messages[1]", {"messages": [USER, "x"]}, "invalid_type", "an object"),
    ("messages[0].content", {"messages": [{"role": "user"}]}, "missing_required_parameter", "missing"),
    ("messages[0].content", {"messages": [{"role": "user", "content": ""}]}, "invalid_value", "at least 1"),
    ("messages[0].content", _parts(), "invalid_value", "at least 1"),
    ("messages[0].content[0]", _parts("one two"), "invalid_type", "an object"),
    ("messages[0].content[1].type", _parts(PART, {"type": "image_url", "image_url": {"url": "x"}}),
     "invalid_value", "text alone"),
    ("messages[0].content[0].text", _parts({"type": "text"}), "missing_required_parameter", "missing"),
    ("messages[0].content[0].text", _parts({"type": "text", "text": 7}), "invalid_type", "a string"),
    ("messages[0].name", {"messages": [{**USER, "name": "me"}]}, "unknown_parameter", "leave it out"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("param", "fields", "code", "says"), REFUSED, ids=[f"{param}-{code}" for param, _, code, _ in REFUSED]
)
def test_what_a_tier_cannot_give_is_refused_in_one_sentence_that_names_it(
    cloud: Node, param: str, fields: dict[str, Any], code: str, says: str
) -> None:
    answer = chat(cloud, **fields)
    error = answer.json["error"]
    assert answer.status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request", param, code)
    assert says in error["message"]


@pytest.mark.parametrize(
    ("wished", "read"),
    [
        ({}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"logprobs": False, "top_logprobs": 3}, None),
        ({"logprobs": False, "top_logprobs": 0}, None),
    ],
)
def test_who_says_that_he_wants_no_log_probabilities_gets_none(
    wished: dict[str, Any], read: int | None
) -> None:
    request = read_request(encode_json({"messages": [USER], **wished}), ["tier"])
    assert request.asked.options.top_logprobs == read


def test_a_bound_below_a_label_is_refused_where_labels_are_whole(tmp_path: Path) -> None:
    task = {"kind": "classification", "labels": ["no", "a clear yes"]}
    with running(node_config("cloud", None, task=task)) as node:
        refused = chat(node, max_completion_tokens=2)
        assert (refused.status, refused.json["error"]["param"]) == (400, "max_completion_tokens")
        assert "at least 3" in refused.json["error"]["message"]
        assert chat(node, max_completion_tokens=3).status == 200


def test_an_answer_ends_before_the_first_stop(cloud: Node) -> None:
    whole = chat(cloud).text
    assert chat(cloud, stop=whole[3]).text == whole[: whole.index(whole[3])]
    assert chat(cloud, stop=["none", whole[2:5]]).text == whole[:2]


def test_a_model_that_generates_and_reads_no_chats_takes_one_user_message_alone(tmp_path: Path) -> None:
    """Classifiers do their task on the last one; free generation would leave the others out."""
    path = tmp_path / "answers.jsonl"
    path.write_text('{"text": "one two", "answer": "three", "confidence": 0.9}\n')
    model = {"kind": "recorded", "path": str(path)}
    with running(node_config("cloud", None, model=model, task={"kind": "generation"})) as node:
        assert chat(node).text == "three"
        for before in ({"role": "system", "content": "brief"}, USER):
            refused = chat(node, messages=[before, USER])
            assert (refused.status, refused.json["error"]["param"]) == (400, "messages")
            assert "no conversation" in refused.json["error"]["message"]
        refused = chat(node, max_tokens=50)
        assert (refused.status, refused.json["error"]["param"]) == (400, "max_tokens")


def test_a_model_of_another_name_is_not_found_and_the_names_are_told(cloud: Node) -> None:
    answer = chat(cloud, model="gpt-none")
    error = answer.json["error"]
    assert (answer.status, error["type"], error["code"]) == (404, "not_found", "model_not_found")
    assert error["param"] == "model"
    assert '"cloud", "tier"' in error["message"]


def test_a_user_of_any_node_asks_under_its_own_name_and_the_tiers_above_take_it() -> None:
    with chain() as nodes:
        begin({"policy": "cloud-only"}, *nodes)
        answer = chat(nodes[0], model="device")
        assert (answer.status, answer.json["model"]) == (200, "cloud")
        assert chat(nodes[0], model="cloud").status == 404


def exchange(node: Node, start: str, *lines: str, body: bytes = b"", close: bool = True) -> bytes:
    """The whole answer to a request of these lines."""
    head = "\r\n".join([start, "Host: x", *(["Connection: close"] if close else []), *lines, "", ""])
    with socket.create_connection((HOST, node.port), timeout=10) as connection:
        connection.sendall(head.encode("latin-1") + body)
        return b"".join(iter(lambda: connection.recv(65536), b""))


BODY = prompt_body("one two")
LENGTH = f"Content-Length: {len(BODY)}"


@pytest.mark.parametrize(
    ("path", "lines", "body"),
    [
        (COMPLETIONS_PATH, [LENGTH], BODY),
        (COMPLETIONS_PATH + "/", [LENGTH], BODY),
        (COMPLETIONS_PATH + "?api-version=1", [LENGTH], BODY),
        (COMPLETIONS_PATH, [LENGTH, "Content-Type: application/json; charset=utf-8"], BODY),
        (COMPLETIONS_PATH, [LENGTH, "Content-Type: text/plain"], BODY),
        (COMPLETIONS_PATH, [LENGTH, "Content-Encoding: identity"], BODY),
        (COMPLETIONS_PATH, [LENGTH, "Authorization: Bearer key", "Accept-Encoding: gzip, br"], BODY),
        (COMPLETIONS_PATH, ["Transfer-Encoding: chunked"], b"5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n"
         % (BODY[:5], len(BODY) - 5, BODY[5:])),
        (COMPLETIONS_PATH, [f"Content-Length: {len(BODY) + 3}"], b"\xef\xbb\xbf" + BODY),
    ],
)  # fmt: skip
def test_what_libraries_and_proxies_make_of_a_request_works(
    cloud: Node, path: str, lines: list[str], body: bytes
) -> None:
    head, _, answer = exchange(cloud, f"POST {path} HTTP/1.1", *lines, body=body).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(answer)["recserve"] == chat(cloud).json["recserve"]


def test_a_client_that_waits_to_be_told_to_go_on_is_told(cloud: Node) -> None:
    with socket.create_connection((HOST, cloud.port), timeout=10) as connection:
        head = f"POST {COMPLETIONS_PATH} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{LENGTH}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("status", "says", "lines", "body"),
    [
        (415, b"not compressed", ["Content-Encoding: gzip"], gzip.compress(BODY, mtime=0)),
        (400, b"not JSON", [], BODY.decode().encode("utf-16")),
        (400, b"not JSON", [], b"messages=x"),
        (400, b"not JSON", [], b""),
        (400, b"the body is not valid Unicode", [], BODY[:-1] + b',"\\ud800":1}'),
        (413, b"1048576 bytes at most", [], prompt_body("x" * (1 << 20))),
    ],
)
def test_bodies_that_no_tier_reads_are_refused_with_the_reason(
    cloud: Node, status: int, says: bytes, lines: list[str], body: bytes
) -> None:
    length = f"Content-Length: {len(body)}"
    answer = exchange(cloud, f"POST {COMPLETIONS_PATH} HTTP/1.1", length, *lines, body=body)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert says in answer
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}


def test_other_verbs_and_paths(cloud: Node) -> None:
    assert exchange(cloud, f"OPTIONS {COMPLETIONS_PATH} HTTP/1.1").startswith(b"HTTP/1.1 200")
    assert exchange(cloud, f"HEAD {COMPLETIONS_PATH} HTTP/1.1").endswith(b"\r\n\r\n")
    assert exchange(cloud, "HEAD /v1/models HTTP/1.1").startswith(b"HTTP/1.1 200")
    for path in ("/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings"):
        missing = call(cloud.port, "POST", path, BODY)
        assert (missing.status, missing.json["error"]["type"]) == (404, "not_found")
        assert missing.json["error"]["code"] == "unknown_url"
        assert path in missing.json["error"]["message"]
        assert COMPLETIONS_PATH in missing.json["error"]["message"]
    other = call(cloud.port, "PUT", COMPLETIONS_PATH, BODY)
    assert (other.status, dict(other.headers)["Allow"]) == (405, "OPTIONS, POST")


def test_an_answer_has_every_field_that_clients_read() -> None:
    with chain() as nodes:
        for policy in ("device-only", "cloud-only"):
            begin({"policy": policy}, *nodes)
            answer = ask(nodes[0].port, "one two  three", "r1").json
            assert set(answer) == {"id", "object", "created", "model", "choices", "usage", "recserve"}
            assert (answer["id"], answer["object"]) == ("r1", "chat.completion")
            assert isinstance(answer["created"], int)
            (choice,) = answer["choices"]
            assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
            assert choice["message"].keys() == {"role", "content", "refusal"}
            assert choice["finish_reason"] == "stop"
            # A recorded model has no tokenizer: words.
            assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}


def test_a_model_s_entry_has_every_field_that_clients_read(cloud: Node) -> None:
    model, any_model = call(cloud.port, "GET", "/v1/models").json["data"]
    assert (model["id"], any_model["id"]) == ("cloud", "tier")
    assert set(model) == {"id", "object", "created", "owned_by"}
    assert isinstance(model["created"], int)
    assert call(cloud.port, "GET", "/v1/models/cloud").json == model
    missing = call(cloud.port, "GET", "/v1/models/gpt-none")
    assert (missing.status, missing.json["error"]["param"]) == (404, "model")
    assert call(cloud.port, "GET", "/control/status").json["model"]["tokens"] == "words"
