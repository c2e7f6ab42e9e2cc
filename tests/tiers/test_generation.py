"""Checkpoints that produce text: templates, chats, the cut of long prompts, and labels in free words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiers.checkpoints import SIZES, TEXTS, fsmt, marian, word_tokenizer
from tiers.confidence import make_confidence
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, load_model
from tiers.models.checkpoint.tokens import PromptEncoder, Prompting

pytestmark = [pytest.mark.models, pytest.mark.timeout(600)]

CHAT = (
    "{% for message in messages %}<unk> {{ message['role'] }} : {{ message['content'] }} </s>{% endfor %}"
    "{% if add_generation_prompt %} word by{% endif %}"
)
SIZE = {key: value for key, value in SIZES.items() if key != "num_labels"}


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder-only checkpoint with a chat template, whose weights were never trained."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("causal")
    size = word_tokenizer(folder)
    LlamaForCausalLM(LlamaConfig(vocab_size=size, eos_token_id=2, bos_token_id=2, **SIZE)).save_pretrained(
        folder
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(6)
    folder = tmp_path_factory.mktemp("encoder-decoder")
    sizes = {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4}
    tokens = {"decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 2}
    config = T5Config(vocab_size=word_tokenizer(folder), **tokens, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def opened(folder: Path, kind: str = "generation", *, labels: tuple[str, ...] = (), **more: Any) -> Model:
    options = {"path": str(folder), "max_new_tokens": 6, **more}
    template = options.pop("of_task", None)
    return load_model(ModelConfig("transformers", options, kind, labels, "x", 1, template=template))


def greedy(folder: Path, prompt: list[int]) -> tuple[list[int], list[float]]:
    """What the model says greedily to a prompt's tokens, one at a time, with their log-probabilities."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    whole = AutoConfig.from_pretrained(folder).is_encoder_decoder
    model = (AutoModelForSeq2SeqLM if whole else AutoModelForCausalLM).from_pretrained(folder).eval()
    said: list[int] = []
    logprobs = []
    while len(said) < 6 and (not said or said[-1] != 2):
        with torch.inference_mode():
            if whole:
                steps = model(input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *said]]))
            else:
                steps = model(torch.tensor([[*prompt, *said]]))
        scores = torch.log_softmax(steps.logits[0, -1].double(), -1)
        said.append(int(scores.argmax()))
        logprobs.append(float(scores.max()))
    return said, logprobs


def test_a_checkpoint_with_a_chat_template_is_asked_in_it_and_answers_with_its_own_probabilities(
    causal: Path,
) -> None:
    from transformers import AutoTokenizer

    model = opened(causal, "question")
    asked = f"Answer the question. End with #### and the final answer alone.\n\nQuestion: {TEXTS[0]}\nAnswer:"
    tokenizer = AutoTokenizer.from_pretrained(causal)
    messages = [{"role": "user", "content": asked}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
    said, logprobs = greedy(causal, prompt)
    output = model.infer(TEXTS[0])
    assert output.answer == tokenizer.decode(said, skip_special_tokens=True).strip()
    assert output.token_logprobs == pytest.approx(logprobs, abs=1e-4)
    assert (output.prompt_tokens, output.completion_tokens) == (len(prompt), len(said))
    assert model.describe()["chat_template"] is True
    assert make_confidence(model.confidence).of(output) > 0


@pytest.mark.parametrize("kind", ["causal", "encoder_decoder"])
def test_without_one_or_where_it_is_declined_the_template_alone_is_asked(
    kind: str, request: pytest.FixtureRequest
) -> None:
    from transformers import AutoTokenizer

    folder = request.getfixturevalue(kind)
    model = opened(folder, of_task="upper: {text} !", chat=kind == "encoder_decoder")
    prompt = AutoTokenizer.from_pretrained(folder)(f"upper: {TEXTS[1]} !")["input_ids"]
    said, logprobs = greedy(folder, prompt)
    output = model.infer(TEXTS[1])
    assert output.token_logprobs == pytest.approx(logprobs, abs=1e-4)
    assert (output.prompt_tokens, output.completion_tokens) == (len(prompt), len(said))
    assert model.describe()["chat_template"] is False
    assert model.describe()["template"] == "upper: {text} !"


def test_a_tiers_template_stands_for_the_tasks(encoder_decoder: Path) -> None:
    model = opened(encoder_decoder, of_task="upper: {text}", template="lower: {text}")
    assert model.describe()["template"] == "lower: {text}"
    assert opened(encoder_decoder, "translation").describe()["template"] == "{text}"


@pytest.mark.parametrize("chat", [False, True])
def test_a_long_text_is_cut_and_the_template_stays_whole(causal: Path, chat: bool) -> None:
    from transformers import AutoTokenizer

    encode = PromptEncoder(str(causal), 40, None, Prompting("it begins {text} and ends", chat))
    tokens = encode(TEXTS[-1])["input_ids"]
    assert 38 <= len(tokens) <= 40
    prompt = AutoTokenizer.from_pretrained(causal).decode(tokens)
    assert "it begins it begins here , word by word it goes on" in prompt
    assert prompt.endswith("and ends </s> word by" if chat else "and ends")
    model = opened(causal, of_task="it begins {text} and ends", max_tokens=40, chat=chat)
    assert model.infer(TEXTS[-1]).prompt_tokens == len(tokens)
    with pytest.raises(ConfigError, match="template and special tokens alone are"):
        opened(causal, of_task="it begins {text} and ends", max_tokens=4, chat=chat)


def test_a_generator_classifies_if_a_template_asks_it_for_a_label(causal: Path) -> None:
    free = opened(causal, of_task="is it good? {text}")
    said = free.infer(TEXTS[0]).answer
    first = said.split()[0]
    labels = (first.upper(), "another")
    model = opened(causal, "classification", labels=labels, of_task="is it good? {text}")
    output = model.infer(TEXTS[0])
    assert output.answer == first.upper()
    assert output.token_logprobs == free.infer(TEXTS[0]).token_logprobs
    assert model.confidence == "inverse_perplexity"
    assert model.describe()["labels"] == [*labels]
    with pytest.raises(ConfigError, match=r"has no weights score\.weight of LlamaForSequenceClassification"):
        opened(causal, "classification", labels=labels)


def test_the_tasks_confidence_is_that_of_an_answer(causal: Path) -> None:
    options = {"path": str(causal), "max_new_tokens": 3}
    config = ModelConfig("transformers", options, "x", (), "x", 1, (), "{text}", "min_token")
    assert load_model(config).confidence == "min_token"


@pytest.mark.parametrize("make", [marian, fsmt])
def test_translators_of_the_paper_answer_as_their_own_tokenizer_and_model_do(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Of the kinds of opus-mt-en-de and wmt19-en-de, whose tokenizers need packages of their own."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    make(tmp_path)
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    asked = tokenizer("a good film", return_tensors="pt")
    said = model.generate(**asked, max_new_tokens=6, num_beams=1, do_sample=False, forced_eos_token_id=None)
    found = opened(tmp_path).infer("a good film")
    assert found.answer == tokenizer.decode(said[0], skip_special_tokens=True).strip() != ""
    assert (found.prompt_tokens, found.completion_tokens) == (asked["input_ids"].shape[1], 6)
    assert found.cut_off
