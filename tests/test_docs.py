"""What the documents show is what the code does, and what they name is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import typing
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.network.link_process.fates import Fates, Way, WayFigures
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.scenario.sections.derived import section_of
from testbed.scenario.sections.engines import EngineEntry
from testbed.scenario.sections.methods import Method
from testbed.scenario.sections.models import CheckpointEntry, EmbeddedEntry, RecordedEntry
from testbed.scenario.sections.section import Section
from testbed.scenario.sections.tier_model import TierModel
from tests import ROOT, SCENARIOS
from tests.docs.pages import blocks
from tests.scenario.types_table import CHAPTER
from tiers.models import KINDS
from tiers.policies import POLICIES, Place, find_policy, make_policy
from tiers.policies.base import GIVEN

DOCS = ROOT / "docs"
README_LINES = 150
SCHEMA_LINE = "# yaml-language-server: $schema=docs/scenario.schema.json"
WORKED_OUT = {"ways", "unused", "median_ms", "most_ms"}
"""Keys that only manifests have: they are computed from files that a scenario names."""


def test_the_example_says_which_frames_a_link_loses() -> None:
    (example,) = re.findall(r"```python\n(from random.*?)```", (DOCS / "LINK.md").read_text(), re.DOTALL)
    told: dict[str, object] = {"print": lambda *_words: None}
    exec(example, told)
    fates = Fates(told["seed"], str(told["method"]), str(told["link"]), str(told["direction"]))
    way = Way(WayFigures(loss=0.10), fates)
    assert told["lost"] == [i for i in range(20) if not way.enter(i)]
    assert told["lost"]


def code(page: Path, language: str, begins: str) -> str:
    """The page's one code block of a language that begins like this."""
    (text,) = [
        block.text for block in blocks(page) if block.language == language and block.text.startswith(begins)
    ]
    return text


def test_the_readmes_scenario_is_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(code(ROOT / "README.md", "yaml", f"{SCHEMA_LINE}\nname: mine"))
    scenario = load_scenario(path, ["links.uplink.loss=2%"])
    assert [method.name for method in scenario.methods] == ["cloud-only", "casserve", "gentle"]


def test_the_events_of_the_page_are_events(tmp_path: Path) -> None:
    events = code(DOCS / "SCENARIOS.md", "yaml", "events:").replace("traces/", f"{ROOT}/traces/")
    path = tmp_path / "mine.yaml"
    path.write_text((SCENARIOS / "smoke.yaml").read_text() + events)
    assert len(load_scenario(path).events) == 6


def test_the_scapy_example_shows_prompts_and_answers() -> None:
    example = code(DOCS / "BYTES.md", "python", "from scapy.all")
    assert len(example.splitlines()) == 6
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=ROOT / "tests" / "data" / "run-v1",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    prompts, answers = map(literal_eval, done.stdout.splitlines())
    assert [prompt[:12] for prompt in prompts] == [
        "the director",
        "a straight-a",
        "a great come",
        "filled with ",
    ]
    assert [answer["tier"] for answer in answers] == ["edge", "cloud", "cloud", "edge"]


def test_the_pages_policy_is_one(tmp_path: Path) -> None:
    path = tmp_path / "my_policy.py"
    path.write_text(code(DOCS / "howto" / "policy.md", "python", "from tiers.policies"))
    place = Place("device1", "device", ("device", "cloud"))
    policy = make_policy({"policy": f"{path}:Margin", "margin": 0.2}, place)
    assert [policy.decide(confidence).keep for confidence in (0.9, 0.75, 0.6)] == [True, True, False]


WORDS = {
    "confidence": "the confidence",
    "request_id": "the request's id",
    "prompt_bytes": "the prompt's length",
    "answers": "the right answers of all tiers",
}
"""How the page of methods says what a policy knows."""


@pytest.mark.parametrize("policy", [*POLICIES.names, "TIER-only"])
def test_what_each_method_may_know_is_written_with_it(policy: str) -> None:
    row, *_ = re.findall(rf"^\| `{policy}`.*\| (.*?) \|$", (DOCS / "METHODS.md").read_text(), re.MULTILINE)
    assert {name for name, words in WORDS.items() if words in row} == set(find_policy(policy).knows)


def without_code(text: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    pages = [page.relative_to(ROOT) for page in DOCS.rglob("*.md")]
    assert [str(page) for page in pages if f"({page})" not in readme] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("page", [*DOCS.rglob("*.md"), ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:testbed|tiers|tests|docs|scenarios|traces|\.ci)/[^`\s]*)`", page.read_text())
    real = [path for path in named if "NAME" not in path and "*" not in path and ":" not in path]
    assert page.name != "ARCHITECTURE.md" or len(real) > 30
    assert [path for path in real if not (ROOT / path).exists()] == []


def test_what_the_way_of_a_prompt_names_is_in_the_files_beside_it() -> None:
    rows = re.findall(
        r"^\| \d+\. .*? \| (.+?) \| (.+?) \|$", (DOCS / "ARCHITECTURE.md").read_text(), re.MULTILINE
    )
    assert len(rows) > 15
    for files, names in rows:
        paths = [ROOT / path for path in re.findall(r"`([^`]*)`", files)]
        sources = [source for path in paths for source in ([path] if path.is_file() else path.glob("*.py"))]
        text = "".join(source.read_text() for source in sources)
        for name in re.findall(r"`([\w.]+)`", names):
            last = name.rpartition(".")[2]
            assert re.search(rf"^\s*(?:async )?(?:def|class) {last}\b", text, re.MULTILINE), (
                f"{name} is not in {files}"
            )


def sections_of(annotation: object) -> Iterator[type[Section]]:
    """All sections that a value of this type may hold, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
        for name, field in annotation.model_fields.items():
            if name not in WORKED_OUT:
                yield from sections_of(field.annotation)
        for kind in kinds_of(annotation):
            yield from sections_of(kind)
    for part in typing.get_args(annotation):
        yield from sections_of(part)


def kinds_of(section: type[Section]) -> list[type[Section]]:
    """The kinds of a section, whose keys depend on a name in it, such as a policy's."""
    if section is Method:
        return [
            section_of(find_policy(name), Method, defaults=True, without=GIVEN) for name in POLICIES.names
        ]
    if section is TierModel:  # not all subclasses: other tests make kinds of their own
        derived = [section_of(KINDS.find(name), TierModel, defaults=False) for name in KINDS.names]
        return [EmbeddedEntry, CheckpointEntry, RecordedEntry, EngineEntry, *derived]
    return section.__subclasses__()


def keys_of(sections: Iterator[type[Section]]) -> set[str]:
    """The keys that a person may write in any of these sections."""
    fields = [field for section in sections for field in section.model_fields.items()]
    return {str(field.validation_alias or name) for name, field in fields} - WORKED_OUT


def documented_keys() -> dict[str, set[str]]:
    """By chapter of docs/SCENARIOS.md, the keys in the first column of its tables."""
    page = without_code((DOCS / "SCENARIOS.md").read_text()).partition(CHAPTER)[0]
    chapters = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    return {
        chapter.splitlines()[0].strip("`"): {
            key
            for row in re.findall(r"^\| (`.*?) \|", chapter, re.MULTILINE)
            for key in re.findall(r"`([^`]*)`", row)
        }
        for chapter in chapters
    }


def test_every_part_of_a_scenario_has_its_chapter() -> None:
    documented = documented_keys()
    assert documented["The file"] == set(Scenario.model_fields)
    assert documented.keys() - {"The file"} == Scenario.model_fields.keys() - {"name"}


@pytest.mark.parametrize("chapter", sorted(Scenario.model_fields.keys() - {"name"}))
def test_every_key_of_a_scenario_is_documented_and_no_other(chapter: str) -> None:
    documented = documented_keys()
    keys = keys_of(sections_of(Scenario.model_fields[chapter].annotation))
    assert documented[chapter] - keys == set(), "documented, and no key"
    elsewhere = documented["links"] if chapter == "events" else set()
    assert keys - documented[chapter] - elsewhere == set(), "a key that is not documented"
