"""The official `openai` client against tiers, unchanged: its own examples, streams and classes of errors."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from testbed.wire.texts import prompt_bytes
from tests import ROOT
from tests.tiers.nodes import HOST, ask, begin, chain, free_port, node_config, records, running, wait_until
from tests.tiers.parents import answering, parent
from tiers.api.asked import read_request
from tiers.api.fields import FIELDS
from tiers.server import Node

EXAMPLE: list[ChatCompletionMessageParam] = [
    {"role": "developer", "content": "Talk like a pirate."},
    {"role": "user", "content": "How do I check if a Python object is an instance of a class?"},
]
"""The client's own, of its README."""


def client(node: Node | int, **options: Any) -> OpenAI:
    port = node if isinstance(node, int) else node.port
    return OpenAI(base_url=f"http://{HOST}:{port}/v1", api_key="none", **{"max_retries": 0, **options})


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node, Node]]:
    with chain() as made:
        yield made


@pytest.fixture(params=["device", "edge", "cloud"])
def asking(request: pytest.FixtureRequest, nodes: tuple[Node, Node, Node]) -> OpenAI:
    """A client of each tier in turn, under a method in which they all infer and offload."""
    begin({"policy": "recserve", "beta": 0.5}, *nodes)
    return client(nodes[["device", "edge", "cloud"].index(request.param)])


def test_the_clients_own_example_is_answered_by_every_tier(asking: OpenAI) -> None:
    completion = asking.chat.completions.create(model="tier", messages=EXAMPLE)
    assert completion.choices[0].message.content in ("negative", "positive")
    assert completion.choices[0].finish_reason == "stop"
    assert completion.object == "chat.completion"
    assert completion.usage is not None
    assert (
        completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    )
    way = (completion.model_extra or {})["recserve"]
    assert way["path"][-1]["node"] == f"{way['tier']}1"
    assert completion.model == way["tier"]


def test_the_example_of_the_page_runs_as_it_is_written(
    nodes: tuple[Node, Node, Node], capsys: pytest.CaptureFixture[str]
) -> None:
    begin({"policy": "recserve", "beta": 0.5}, *nodes)
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "CLIENTS.md").read_text(), re.DOTALL)
    exec(example.replace("127.0.0.1:8000", f"{HOST}:{nodes[0].port}"), {})
    first, told, streamed = capsys.readouterr().out.splitlines()
    assert {first, streamed} <= {"negative", "positive"}
    assert "'node': 'device1'" in told


def test_every_field_that_is_taken_is_on_the_page() -> None:
    page = (ROOT / "docs" / "CLIENTS.md").read_text()
    taken = [name for name, schema in FIELDS.items() if schema.get("type") != "null"]
    assert [name for name in taken if f"`{name}" not in page] == []


def test_the_clients_example_of_a_stream_is_answered_by_every_tier(asking: OpenAI) -> None:
    whole = asking.chat.completions.create(model="tier", messages=EXAMPLE)
    stream = asking.chat.completions.create(
        model="tier", messages=EXAMPLE, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_clients_helper_for_streams_puts_the_same_answer_together(asking: OpenAI) -> None:
    with asking.chat.completions.stream(model="tier", messages=EXAMPLE) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content in ("negative", "positive")


def test_a_turn_goes_on_with_the_message_that_came(asking: OpenAI) -> None:
    first = asking.chat.completions.create(model="tier", messages=EXAMPLE).choices[0].message
    more: list[Any] = [*EXAMPLE, first, {"role": "user", "content": [{"type": "text", "text": "And then?"}]}]
    again = asking.chat.completions.create(model="tier", messages=more)
    dumped = [*EXAMPLE, first.model_dump(exclude={"annotations"}), more[-1]]
    assert asking.chat.completions.create(model="tier", messages=dumped).choices == again.choices


def test_models_are_listed_and_each_can_be_asked(asking: OpenAI) -> None:
    names = [model.id for model in asking.models.list()]
    assert "tier" in names
    assert len(names) == 2
    for name in names:
        assert asking.models.retrieve(name).id == name
        assert asking.chat.completions.create(model=name, messages=EXAMPLE, max_completion_tokens=20).id


def test_the_asynchronous_client_is_answered_too(nodes: tuple[Node, Node, Node]) -> None:
    async def streamed() -> str:
        async with openai.AsyncOpenAI(base_url=f"http://{HOST}:{nodes[0].port}/v1", api_key="none") as asking:
            stream = await asking.chat.completions.create(model="tier", messages=EXAMPLE, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    assert asyncio.run(streamed()) in ("negative", "positive")


ERRORS: dict[str, tuple[dict[str, Any], type[openai.APIStatusError], str, str]] = {
    "no such model": ({"model": "gpt-none"}, openai.NotFoundError, "model_not_found", "model"),
    "several answers": ({"n": 2}, openai.BadRequestError, "invalid_value", "n"),
    "a tool": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError,
               "unsupported_parameter", "tools"),
    "a format": ({"response_format": {"type": "json_object"}}, openai.BadRequestError,
                 "invalid_value", "response_format.type"),
    "a new field": ({"extra_body": {"top_k": 4}}, openai.BadRequestError, "unknown_parameter", "top_k"),
    "log-probabilities": ({"logprobs": True}, openai.BadRequestError, "unsupported_parameter", "logprobs"),
    "a picture": ({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]}]},
        openai.BadRequestError, "invalid_value", "messages[0].content[0].type"),
}  # fmt: skip


@pytest.mark.parametrize("which", ERRORS)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_of_the_clients_class_with_code_and_param(
    nodes: tuple[Node, Node, Node], which: str, stream: bool
) -> None:
    fields, kind, code, param = ERRORS[which]
    create: Any = client(nodes[2]).chat.completions.create
    with pytest.raises(kind) as raised:
        create(**{"model": "tier", "messages": EXAMPLE, "stream": stream, **fields})
    assert (raised.value.code, raised.value.param) == (code, param)
    assert raised.value.message
    assert raised.value.type in ("invalid_request", "not_found")


def test_what_no_tier_has_is_not_found(nodes: tuple[Node, Node, Node]) -> None:
    asking = client(nodes[2])
    for asked in (
        lambda: asking.completions.create(model="tier", prompt="x"),
        lambda: asking.embeddings.create(model="tier", input="x"),
        lambda: asking.responses.create(model="tier", input="x"),
        lambda: asking.models.retrieve("gpt-none"),
    ):
        with pytest.raises(openai.NotFoundError) as raised:
            asked()
        assert raised.value.code in ("unknown_url", "model_not_found")


def test_an_id_of_ones_own_and_a_conflict_have_the_clients_forms(nodes: tuple[Node, Node, Node]) -> None:
    asking = client(nodes[2], default_headers={"X-Request-Id": "a-long-id-of-a-user"})
    stream = asking.chat.completions.create(model="tier", messages=EXAMPLE, stream=True)
    assert {chunk.id for chunk in stream} == {"a-long-id-of-a-user"}
    with pytest.raises(openai.ConflictError):
        asking.chat.completions.create(model="tier", messages=EXAMPLE[1:])


def test_a_tier_above_that_is_gone_is_an_error_of_the_server() -> None:
    with running(node_config("edge", free_port())) as edge:
        begin({"policy": "cloud-only"}, edge)
        with pytest.raises(openai.InternalServerError) as raised:
            client(edge).chat.completions.create(model="tier", messages=EXAMPLE)
        assert raised.value.type == "unreachable"


def test_between_tiers_nothing_streams_and_the_bytes_are_those_without() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin({"policy": "cloud-only"}, edge)
        create: Any = client(edge).chat.completions.create
        asked: list[dict[str, Any]] = [
            {"model": "tier"},
            {"model": "edge"},
            {"model": "edge", "stream": False},
            {"model": "tier", "stream_options": {"include_usage": True}, "stop": "x"},
            {"model": "tier", "stop": "x"},
        ]
        for fields in asked:
            create(messages=EXAMPLE, **fields)
        # The parent is no whole tier: its answer lacks what a stream needs, after it was sent up.
        with pytest.raises(openai.InternalServerError, match="cannot be streamed"):
            create(messages=EXAMPLE, model="edge", stream=True)
        bodies = [request.partition(b"\r\n\r\n")[2] for request in seen.requests]
        assert len({bodies[at] for at in (0, 1, 2, 5)}) == 1
        assert bodies[3] == bodies[4] != bodies[0]
        assert json.loads(bodies[5]) == {"messages": EXAMPLE, "model": "tier"}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("order", [("stream", "model", "messages"), ("model", "messages", "stream")])
def test_what_goes_up_is_what_the_same_writer_would_have_sent_without(
    order: tuple[str, ...], separators: tuple[str, str]
) -> None:
    fields: dict[str, Any] = {"stream": True, "model": "edge", "messages": EXAMPLE}

    def written(**changes: Any) -> bytes:
        given = {**{name: fields[name] for name in order}, **changes}
        left = {name: value for name, value in given.items() if value is not None}
        return json.dumps(left, separators=separators).encode()

    assert read_request(written(), ["edge"]).upward() == written(stream=None, model="tier")


def test_a_stream_is_one_write_of_known_length(nodes: tuple[Node, Node, Node]) -> None:
    body = {"model": "tier", "messages": EXAMPLE, "stream": True}
    answer = ask(nodes[2].port, json.dumps(body).encode())
    headers = dict(answer.headers)
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert int(headers["Content-Length"]) == len(answer.raw)
    assert answer.raw.endswith(b"\n\ndata: [DONE]\n\n")
    last = json.loads(answer.raw.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert last["recserve"]["tier"] == "cloud"


def test_the_prompt_of_several_messages_is_the_text_of_all_users(nodes: tuple[Node, Node, Node]) -> None:
    """Of the account of bytes, and of what a policy is told."""
    messages = [
        *EXAMPLE,
        {"role": "assistant", "content": "Arr ätsch"},
        {"role": "user", "content": "Und ü?"},
    ]
    body = json.dumps({"messages": messages}).encode()
    users = sum(len(str(message["content"]).encode()) for message in (messages[1], messages[3]))
    assert prompt_bytes(body) == read_request(body, []).asked.prompt_bytes == users


def test_a_streamed_request_is_recorded_as_any_other(nodes: tuple[Node, Node, Node]) -> None:
    begin({"policy": "cloud-only"}, *nodes)
    list(client(nodes[0]).chat.completions.create(model="tier", messages=EXAMPLE, stream=True))
    for node in nodes:
        wait_until(lambda node=node: len(records(node)) == 1)
        assert records(node)[0]["outcome"] == "answered"
