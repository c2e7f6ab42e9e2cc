"""What clients of the OpenAI API send, and what they read: each field works, is ignored, or is refused."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.tiers.nodes import HOST, Answer, ask, begin, call, chain, node_config, prompt_body, running
from tiers.protocol import COMPLETIONS_PATH, encode_json
from tiers.server import Node

USER = {"role": "user", "content": "one two"}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Node]:
    with running(node_config("cloud", None)) as node:
        yield node


def chat(node: Node, **fields: Any) -> Answer:
    return ask(node.port, encode_json({"model": "any", "messages": [USER], **fields}))


IGNORED: list[dict[str, Any]] = [
    {"stream": False},
    {"stream": None},
    {"max_tokens": 5},
    {"max_completion_tokens": 5},
    {"temperature": 0.7, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}},
    {"n": 1},
    {"user": "me", "store": False, "metadata": {"a": "b"}, "seed": 1, "service_tier": "auto"},
    {"stop": ["\n"]},
    {"response_format": {"type": "text"}, "modalities": ["text"]},
    {"stream": False, "stream_options": None},
    {"logprobs": False, "top_logprobs": None},
    {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}], "tool_choice": "none"},
    {"model": "gpt-none"},
    {"something_new": {"x": [1, 2.5, None]}},
    {"messages": [{"role": "system", "content": "brief"}, {"role": "developer", "content": "kind"}, USER]},
    {"messages": [{"role": "user", "content": "first"}, {"role": "assistant", "content": None}, USER]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": part} for part in ("one ", "two")]}]},
]


@pytest.mark.parametrize("fields", IGNORED)
def test_what_does_not_change_the_answer_s_shape_is_ignored(cloud: Node, fields: dict[str, Any]) -> None:
    answer = chat(cloud, **fields)
    assert answer.status == 200
    assert answer.json["recserve"] == chat(cloud).json["recserve"]
    assert answer.json["model"] == "cloud"


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "stream": ({"stream": True, "stream_options": {"include_usage": True}}, "leave it out"),
    "n": ({"n": 2}, "leave it out"),
    "logprobs": ({"logprobs": True, "top_logprobs": 3}, "leave it out"),
    "response_format": ({"response_format": {"type": "json_object"}}, "leave it out"),
    "modalities": ({"modalities": ["text", "audio"]}, "leave it out"),
    "tool_choice": ({"tool_choice": "required"}, "leave it out"),
    "messages": (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]}]},
        "send parts of type text alone",
    ),
}


@pytest.mark.parametrize("param", REFUSED)
def test_what_would_is_refused_in_one_sentence_that_names_it(cloud: Node, param: str) -> None:
    fields, mend = REFUSED[param]
    answer = chat(cloud, **fields)
    error = answer.json["error"]
    assert answer.status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request", param, None)
    assert mend in error["message"]


@pytest.mark.parametrize("content", [[{"type": "text", "text": 7}], ["one two"], [{"type": "text"}], []])
def test_parts_that_are_no_text_are_refused(cloud: Node, content: list[Any]) -> None:
    answer = chat(cloud, messages=[{"role": "user", "content": content}])
    assert (answer.status, answer.json["error"]["param"]) == (400, "messages")


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
    for path in ("/chat/completions", "/v1/responses", "/v1/completions"):
        missing = call(cloud.port, "POST", path, BODY)
        assert (missing.status, missing.json["error"]["type"]) == (404, "not_found")
        assert COMPLETIONS_PATH in missing.json["error"]["message"]


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
    (model,) = call(cloud.port, "GET", "/v1/models").json["data"]
    assert set(model) == {"id", "object", "created", "owned_by"}
    assert isinstance(model["created"], int)
    assert call(cloud.port, "GET", "/v1/models/cloud").json == model
    missing = call(cloud.port, "GET", "/v1/models/gpt-none")
    assert (missing.status, missing.json["error"]["param"]) == (404, "model")
    assert call(cloud.port, "GET", "/control/status").json["model"]["tokens"] == "words"
