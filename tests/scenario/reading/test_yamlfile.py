"""What YAML makes of words and numbers: a sentence quotes what was written, and says what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import TestbedError
from testbed.scenario.reading.yamlfile import in_yaml, parse_yaml
from testbed.scenario.scenario import load_scenario
from tests import QUICKSTART, SCENARIOS
from tests.scenario.reading.test_graphml import written as written_map
from tests.scenario.refusals import refusal

EUROPE = SCENARIOS / "graphs" / "europe.graphml"
PLACE = f"graph={{file: {EUROPE}, place: {{edge: [WHAT], cloud: [Paris]}}}}"

TEXTS = [
    "NO",
    "no",
    "Yes",
    "on",
    "OFF",
    "true",
    "36",
    "1_000",
    "1.5",
    "2026-01-01",
    "null",
    "~",
    "0x1F",
    ".inf",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_yaml_takes_for_something_else_wants_quotes(text: str) -> None:
    sentence = refusal(PLACE.replace("WHAT", text))
    assert sentence.endswith(f'graph.place.edge.1: must be a text, not {text}; write "{text}" in quotes')
    quoted = refusal(PLACE.replace("WHAT", f'"{text}"'))
    assert f"has no node '{text}'" in quoted


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("name=NO", 'name: must be a text, not NO; write "NO" in quotes'),
        ("task.dataset=off", 'task.dataset: must be a text, not off; write "off" in quotes'),
        ("task.labels=[no, yes]", 'task.labels.1: must be a text, not no; write "no" in quotes'),
        ("links.core.between=[on, edge]", 'must be a text, not on; write "on" in quotes'),
        ("links.core.profile=5", 'links.core.profile: must be a text, not 5; write "5" in quotes'),
        ("tiers.device.model=no", "tiers.device.model: no model no; write embedded/RUNG"),
        ("methods.recserve.policy=off", "methods.recserve.policy: must be a word, not off"),
        ("links.core.queue=yes", "links.core.queue: yes is no queue"),
        ("links.core.queue=+0", "links.core.queue: +0 is no queue; write frames, 1 to 1000000, or"),
        ("links.core.shared='yes'", "must be a valid boolean, not 'yes'; write true or false"),
        ("tiers.device.parents=2", "tiers.device.parents: must be a valid list, not 2; write [2]"),
    ],
)
def test_so_does_one_anywhere(override: str, words: str) -> None:
    assert words in refusal(override)


@pytest.mark.parametrize(
    ("key", "text", "number"),
    [
        ("methods.recserve.beta", "1e-2", "0.01"),
        ("methods.recserve.beta", "3E-1", "0.3"),
        ("methods.recserve.beta", "0,5", "0.5"),
        ("methods.recserve.beta", "30%", "0.3"),
        ("methods.recserve.beta", "30 %", "0.3"),
        ("methods.recserve.window", "1e3", "1000"),
        ("methods.recserve.window", "100.0", "100"),
        ("tiers.device.cpus", "5e-1", "0.5"),
        ("methods.casserve.thresholds.device", "8e-1", "0.8"),
        ("trace.arrivals.rate", "1e1", "10"),
        ("trace.requests", "1e3", "1000"),
        ("trace.requests", "1,000", "1000"),
        ("trace.requests", "1 000", "1000"),
        ("trace.requests", "08", "8"),
        ("trace.seed", "1e1", "10"),
        ("tiers.device.nodes", "2.0", "2"),
    ],
)
def test_a_number_that_yaml_takes_for_a_text_is_given_as_it_is_to_be_written(
    key: str, text: str, number: str
) -> None:
    sentence = refusal(f"{key}={text}")
    assert f"{key}: must be a valid " in sentence
    assert sentence.endswith(f"; write {number}")
    load_scenario(QUICKSTART, [f"{key}={number}"])


@pytest.mark.parametrize(
    "text",
    ["a lot", "1e999", "1e-400", "1e99999999%", "snan%", "1.000,5", "1,000", "1/3", "--1", "nan", "0.5.1"],
)
def test_what_is_no_number_or_may_be_two_gets_none(text: str) -> None:
    assert refusal(f"methods.recserve.beta={text}").endswith(
        f"methods.recserve.beta: must be a valid number, not '{text}'"
    )


def test_a_number_in_quotes_is_to_stand_without_them() -> None:
    assert refusal("methods.recserve.beta='0.3'").endswith(
        "must be a valid number, not '0.3'; write 0.3 without quotes"
    )


class TestWhatMeansTwoThings:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a: 010", '1:4: 010 is 8 to YAML; write 8 or 10, or "010" in quotes if it is a name'),
            (
                "a: [-0_17]",
                '1:5: -0_17 is -15 to YAML; write -15 or -17, or "-0_17" in quotes if it is a name',
            ),
            ("a: 10:30", '1:4: 10:30 is 630 to YAML; write 630, or "10:30" in quotes if it is a name'),
            ("a: 1:30.5", '1:4: 1:30.5 is 90.5 to YAML; write 90.5, or "1:30.5" in quotes if it is a name'),
            ("NO: 1", '1:1: key NO is no text to YAML; write "NO" in quotes'),
            ("a: {36: b}", '1:5: key 36 is no text to YAML; write "36" in quotes'),
            ("a:\nb: 1", "1:1: a has no value; write one, or remove it"),
            ("a: {b: , c: 1}", "1:5: b has no value; write one, or remove it"),
            ("a:\n  -\n  - b", "2:4: a list entry is empty; write it, or remove it"),
            ("a: {b:0.3}", "1:5: b:0.3 has no value; write b: 0.3 with a space after the colon"),
            ("a: {b: 0,5}", "1:10: 5 has no value; write 0.5 with a point, for a comma ends a value"),
            ("a:\n\t- b", "2:1: while scanning for the next token, found character '\\t' that cannot start"),
        ],
    )
    def test_is_refused_with_what_to_write(self, text: str, words: str) -> None:
        with pytest.raises(TestbedError) as caught:
            parse_yaml(text)
        assert str(caught.value).startswith(words)
        assert "\n" not in str(caught.value)

    def test_tabs_are_to_be_spaces(self) -> None:
        with pytest.raises(TestbedError, match=r"; indent with spaces, not with tabs$"):
            parse_yaml("a:\n\tb: 1")

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("a: 0", 0),
            ("a: 7", 7),
            ("a: 007", 7),
            ("a: 1_000", 1000),
            ("a: '010'", "010"),
            ("a: '10:30'", "10:30"),
            ("a: ''", ""),
            ("a: null", None),
            ("a: ~", None),
            ("'NO': 1\na: b", "b"),
            ("b: &b {c: 1}\na: {<<: *b, d: 2}", {"c": 1, "d": 2}),
            ("a: 0x10", 16),
            ("a: 10:30:am", "10:30:am"),
        ],
    )
    def test_what_means_one_thing_is_read(self, text: str, value: object) -> None:
        assert parse_yaml(text)["a"] == value

    @pytest.mark.parametrize("override", ["links.core.rate=", "methods.recserve.beta= "])
    def test_a_value_that_is_set_to_nothing(self, override: str) -> None:
        assert refusal(override) == f"--set {override}: gives no value; write null to take the value away"

    @pytest.mark.parametrize("override", ["links.core.queue=010", "replay.deadline=1:30"])
    def test_so_are_values_that_are_set(self, override: str) -> None:
        assert refusal(override).startswith(f"--set {override}: the value is not YAML (1:1: ")

    def test_a_rate_without_a_figure_is_not_an_unlimited_one(self, tmp_path: Path) -> None:
        path = tmp_path / "scenario.yaml"
        path.write_text(QUICKSTART.read_text().replace("rate: 100mbit", "rate: "))
        assert refusal(path=path).endswith(": rate has no value; write one, or remove it")


class TestNamesWithCommas:
    def graph(self, folder: Path, place: str) -> str:
        nodes = {"Washington, DC": (38.9, -77.0), "NO": (30.0, -90.1), "36": (40.0, -75.0)}
        edges = [("Washington, DC", "NO"), ("NO", "36")]
        path = written_map(folder, nodes, edges)
        return f"graph={{file: {path}, place: {{edge: {place}, cloud: ['36']}}}}"

    def test_one_that_is_split_is_shown_whole(self, tmp_path: Path) -> None:
        assert refusal(self.graph(tmp_path, "[Washington, DC]")).endswith(
            "graph.place.edge: has 2 names for 1 nodes; give each node its place, "
            'and write "Washington, DC" in quotes'
        )

    def test_so_is_one_whose_parts_are_as_many_as_the_nodes(self, tmp_path: Path) -> None:
        overrides = [self.graph(tmp_path, "[Washington, DC]"), "tiers.edge.nodes=2"]
        assert "has no node 'Washington'; did you mean \"Washington, DC\"?" in refusal(*overrides)

    def test_names_are_shown_as_they_are_to_be_written(self, tmp_path: Path) -> None:
        assert 'has no node \'x\'; known are "Washington, DC", "NO", "36"' in refusal(
            self.graph(tmp_path, "[x]")
        )

    def test_in_quotes_they_are_places(self, tmp_path: Path) -> None:
        overrides = [
            self.graph(tmp_path, '["Washington, DC"]'),
            "links.core.delay=0ms",
            "links.core.jitter=0ms",
        ]
        graph = load_scenario(QUICKSTART, overrides).graph
        assert graph is not None
        assert graph.ways[0].labels == ("Washington, DC", "NO", "36")


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
    | st.sampled_from([*TEXTS, "010", "10:30", "a, b", "a: b", "# a", "[a]", "-", "=", "<<"])
)
def test_a_name_as_it_is_to_be_written_is_read_as_that_name(name: str) -> None:
    shown = in_yaml(name)
    assert shown in (name, json.dumps(name, ensure_ascii=False), json.dumps(name))
    assert parse_yaml(f"[{shown}]") == [name]
