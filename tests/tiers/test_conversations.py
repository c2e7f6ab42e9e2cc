"""Chats with a checkpoint that has a chat template: turns, bounds, stops and log-probabilities of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.tiers.nodes import HOST, node_config, running
from tests.tiers.test_generation import CHAT, causal, opened
from tiers.api.asked import Asked, Message, Options
from tiers.errors import RequestError

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

__all__ = ["causal"]
TURNS = (
    Message("developer", "word by word"),
    Message("user", "it begins"),
    Message("assistant", "here"),
    Message("user", "and ends"),
)


@pytest.fixture(scope="module")
def asking(causal: Path) -> Iterator[OpenAI]:
    """The official client of a node that serves the checkpoint."""
    model = {"kind": "transformers", "path": str(causal), "max_new_tokens": 6, "max_tokens": 40}
    with running(node_config("cloud", None, model=model, task={"kind": "generation"})) as node:
        yield OpenAI(base_url=f"http://{HOST}:{node.port}/v1", api_key="none", max_retries=0)


def test_all_messages_are_in_the_template_and_a_developer_is_its_system(causal: Path) -> None:
    from transformers import AutoTokenizer

    model: Any = opened(causal, of_task="is it {text} ?")
    tokenizer = AutoTokenizer.from_pretrained(causal)
    told = [
        {"role": "system", "content": "word by word"},
        {"role": "user", "content": "it begins"},
        {"role": "assistant", "content": "here"},
        {"role": "user", "content": "is it and ends ?"},
    ]
    prompt = tokenizer.apply_chat_template(told, add_generation_prompt=True)["input_ids"]
    output = model.answer(Asked(TURNS))
    assert output.prompt_tokens == len(prompt)
    generator = model._answer.__self__
    assert generator.encode.conversation(Asked(TURNS))["input_ids"] == prompt


def test_a_lone_message_without_options_is_answered_as_ever(causal: Path) -> None:
    model = opened(causal)
    asked = Asked.plainly("it begins")
    assert asked.is_plain
    assert model.answer(asked) == model.infer("it begins")


def test_of_what_does_not_fit_the_last_message_is_cut_and_the_others_are_refused(causal: Path) -> None:
    model: Any = opened(causal, max_tokens=40)
    encode = model._answer.__self__.encode
    long = Asked((*TURNS[:3], Message("user", "and ends " * 200)))
    assert 36 <= len(encode.conversation(long)["input_ids"]) <= 40
    for before in ([Message("user", "it begins " * 200)], [Message("user", "it")] * 2000):
        with pytest.raises(RequestError) as raised:
            model.answer(Asked((*before, TURNS[-1])))
        assert (raised.value.status, raised.value.param) == (400, "messages")
        assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('no systems here') }}", "no systems here"),
        (CHAT.replace("for message in messages", "for message in messages[1:]"), "leaves out one of role"),
    ],
)
def test_a_template_that_takes_no_such_chat_refuses_it(causal: Path, template: str, says: str) -> None:
    model: Any = opened(causal)
    model._answer.__self__.encode.tokenizer.chat_template = template
    with pytest.raises(RequestError, match=says) as raised:
        model.answer(Asked(TURNS))
    assert (raised.value.status, raised.value.param) == (400, "messages")


def test_bounds_and_stops_end_the_decoding(causal: Path) -> None:
    model = opened(causal)
    whole = model.infer("it begins")
    words = whole.answer.split()
    assert whole.completion_tokens == 6
    assert len(set(words)) > 1
    short = model.answer(Asked.plainly("it begins"))
    bounded = model.answer(Asked((TURNS[1],), Options(max_tokens=2)))
    assert (bounded.completion_tokens, bounded.cut_off) == (2, True)
    assert short.answer.startswith(bounded.answer)
    stop = next(word for word in words if word != words[0])
    stopped = model.answer(Asked((TURNS[1],), Options(stop=(stop,))))
    assert stopped.completion_tokens is not None
    assert stopped.completion_tokens < 6
    assert not stopped.cut_off
    assert stop in stopped.answer  # whoever asks cuts it


def test_the_client_reads_log_probabilities_that_are_those_of_the_confidence(
    causal: Path, asking: OpenAI
) -> None:
    output = opened(causal, max_tokens=40).infer("it begins")
    completion = asking.chat.completions.create(
        model="tier", messages=[{"role": "user", "content": "it begins"}], logprobs=True, top_logprobs=3
    )
    (choice,) = completion.choices
    assert choice.message.content == output.answer
    assert choice.logprobs is not None
    content = choice.logprobs.content or []
    assert [token.logprob for token in content] == pytest.approx(
        list(output.token_logprobs or ())[: len(content)], abs=1e-4
    )
    for token in content:
        assert len(token.top_logprobs) == 3
        assert token.top_logprobs[0].logprob == max(top.logprob for top in token.top_logprobs)
        assert token.top_logprobs[0].token == token.token  # it is greedy
        assert token.bytes == list(token.token.encode())


def test_log_probabilities_are_of_all_tokens_up_to_the_stop_though_each_begins_with_a_space(
    causal: Path,
) -> None:
    from tokenizers import Regex, decoders

    model: Any = opened(causal)
    model._answer.__self__.encode.tokenizer.backend_tokenizer.decoder = decoders.Replace(Regex("^"), " ")
    options = Options(stop=(" ",), top_logprobs=0)
    output = model.answer(Asked((TURNS[1],), options))
    assert options.end(output.answer) < len(output.answer)
    assert "".join(entry["token"] for entry in output.logprobs).strip() == output.answer


def test_a_stream_has_the_log_probabilities_and_the_stop_too(asking: OpenAI) -> None:
    ask: Any = asking.chat.completions.create
    fields = {"model": "tier", "messages": [{"role": "user", "content": "it begins"}], "logprobs": True}
    whole = ask(**fields)
    stop = whole.choices[0].message.content.split()[-1]
    chunks = list(ask(**fields, stop=[stop], stream=True))
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert told == whole.choices[0].message.content.split(stop)[0]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[1].choices[0].logprobs.content


def test_a_greedy_model_samples_nothing(asking: OpenAI) -> None:
    ask: Any = asking.chat.completions.create
    fields: dict[str, Any] = {"model": "tier", "messages": [{"role": "user", "content": "it begins"}]}
    assert ask(**fields, temperature=0, top_p=0.1, seed=3).choices == ask(**fields).choices
    with pytest.raises(BadRequestError) as raised:
        ask(**fields, temperature=1)
    assert raised.value.param == "temperature"
