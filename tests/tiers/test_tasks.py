"""Kinds of task: what a model is asked, and which answers are right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiers.confidence import CONFIDENCES
from tiers.config import parse_config
from tiers.errors import ConfigError
from tiers.tasks import TASKS, check_template, fill, make_task, scorer_of


def test_a_kind_brings_template_confidence_and_scorer() -> None:
    assert TASKS.names == ["classification", "generation", "question", "translation"]
    for kind in TASKS.names:
        task = make_task(kind)
        check_template(task.template)
        assert task.confidence in CONFIDENCES
        assert task.judges is (task.score("a", "a") == 1.0)
        assert scorer_of(kind) == task.scorer
    assert TASKS.find("sequence-to-sequence") is TASKS.find("translation")
    assert [make_task(kind).needs_reference for kind in TASKS.names] == [True, False, True, True]


AROUND = st.text(alphabet="ab {}\n$%", max_size=20)


@given(st.text(max_size=60), AROUND, AROUND)
def test_a_template_has_the_text_in_it_untouched_and_no_other_braces_mean_anything(
    text: str, before: str, after: str
) -> None:
    assert fill(f"{before}{{text}}{after}", text) == before + text + after


@pytest.mark.parametrize("template", ["no place", "{text} and {text}", "{txt}", "", 3, None])
def test_a_template_without_one_place_for_the_text_is_refused(template: object) -> None:
    with pytest.raises(ValueError, match=r"must be a text that has \{text\} in it once"):
        check_template(template)
    if template is not None:
        task = {"kind": "translation", "template": template}
        with pytest.raises(ConfigError, match=r"^task\.template must be"):
            parse_config({"node": "a1", "tier": "a", "tiers": ["a"], "model": {"kind": "x"}, "task": task})


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("She has 70 + 2 = 72 clips.\n#### 72", "48/2 = <<48/2=24>>24 ... \n#### 72", True),
        ("#### $1,319.00", "#### 1319", True),
        ("so it is 1319.", "1,319", True),
        ("so it is 1319.5", "1,319", False),
        ("first 3, then 4, so 12 in all", "12", True),
        ("12 or 13", "12", False),
        ("#### 5\nno, wait\n#### 6", "6", True),
        ("10 - 15 = \N{MINUS SIGN}5", "-5", True),
        ("between 3-5", "5", True),
        ("it rose by 50%", "50", True),
        ("a half, .5", "0.50", True),
        ("no idea", "7", False),
        ("", "7", False),
        ("٣", "3", False),
        ("The Eiffel Tower.", "eiffel tower", True),
        ("An  Apple, a Day", "apple day", True),
        ("Paris, of course", "Paris", False),
        ("I think so. #### Paris!", "Paris", True),
        ("theatre", "atre", False),
        ("", "Paris", False),
        ("72 km", "72 km", True),
        ("72", "72 km", False),
        ("#### a.", "A", True),
        ("", "A", False),
        ("The", "A", False),
        ("#### +", "+", True),
        ("", "+", False),
    ],
)
def test_a_question_is_judged_by_its_final_number_or_words(answer: str, reference: str, right: bool) -> None:
    assert make_task("question").score(answer, reference) == float(right)


@given(st.text(max_size=300), st.text(max_size=40))
def test_any_answer_to_a_question_is_right_or_wrong_and_its_own_reference_right(
    answer: str, reference: str
) -> None:
    question = make_task("question")
    assert question.score(answer, reference) in (0.0, 1.0)
    assert question.score(reference, reference) == 1.0


OWN = """
from tiers.tasks import Task

class Echo(Task):
    template = "Say: {text}"
    confidence = "min_token"

    def score(self, answer, reference):
        return len(set(answer) & set(reference)) / len(set(answer) | set(reference))

class Silent(Task):
    pass

class Placeless(Task):
    template = "Say it"

    def score(self, answer, reference):
        return 0.5
"""


def test_a_kind_of_ones_own_is_a_class_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    task = make_task("mine.py:Echo", [str(tmp_path)])
    assert (task.template, task.confidence, task.score("ab", "bc")) == ("Say: {text}", "min_token", 1 / 3)
    assert scorer_of("nowhere.py:Echo") == "score"
    for name, says in (
        ("Silent", "Silent judges nothing; give it a method score"),
        ("Placeless", "its template must be a text that has {text} in it once, not 'Say it'"),
    ):
        with pytest.raises(ConfigError, match=says):
            make_task(f"mine.py:{name}", [str(tmp_path)])
    with pytest.raises(ConfigError, match="no task kind 'riddle'; known are classification, generation,"):
        make_task("riddle")
