"""The published JSON Schema is that of the code, says what each key means, and takes what a scenario does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from testbed.errors import TestbedError
from testbed.scenario.json_schema import scenario_schema
from testbed.scenario.reading.yamlfile import parse_yaml
from testbed.scenario.scenario import load_scenario
from testbed.scenario.written import scenario_yaml, schema_line
from tests import ROOT
from tests.docs.pages import PAGES, Block, blocks
from tests.scenario.schema_file import HEADINGS, KEPT, meaning, rows, sections, written

SCENARIOS = [*sorted((ROOT / "scenarios").rglob("*.yaml")), ROOT / "tests" / "faults" / "small.yaml"]
SHOWN = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == "yaml" and re.search(r"^tiers:.*^methods:", block.text, re.DOTALL | re.MULTILINE)
]
"""Whole scenarios that a page shows; a reader saves them in the checkout's top folder."""
CHECK = Draft202012Validator(scenario_schema())


def test_the_kept_schema_is_that_of_the_code_and_the_page() -> None:
    """``python -m tests.scenario.schema_file`` writes it anew."""
    assert KEPT.read_text() == written()
    meta.validate(json.loads(KEPT.read_text()))


def test_the_page_has_every_key_and_no_other() -> None:
    schema = scenario_schema()
    assert [(name, key) for name, keys in sections(schema) for key in keys if not meaning(name, key)] == []
    known = {
        (heading, key)
        for heading, names in HEADINGS.items()
        for section, keys in sections(schema)
        if any(section == name or (name.endswith(".") and section.startswith(name)) for name in names)
        for key in keys
    }
    assert [(row.heading, key) for row in rows() for key in row.keys if (row.heading, key) not in known] == []


def test_each_default_is_what_a_person_may_write() -> None:
    """An editor puts it into the file; ``30`` would be refused there, and ``30s`` is not."""
    schema = scenario_schema()
    given = [
        (name, key, value)
        for name, keys in sections(schema)
        for key, value in keys.items()
        if "default" in value
    ]
    assert len(given) > 30
    for name, key, value in given:
        check = Draft202012Validator({**value, "$defs": schema["$defs"]})
        assert check.is_valid(value["default"]), (name, key, value["default"])
    assert schema["$defs"]["Replay"]["properties"]["deadline"]["default"] == "30s"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_is_valid_and_names_the_schema(path: Path) -> None:
    assert_checked(path.read_text(), path.parent, 0)


def assert_checked(text: str, folder: Path, line: int) -> None:
    """That a scenario is valid, and that a line of it leads from its folder to the schema."""
    assert [error.message for error in CHECK.iter_errors(parse_yaml(text))] == []
    begins, _, schema = text.splitlines()[line].partition("=")
    assert begins == "# yaml-language-server: $schema"
    assert (folder / schema).resolve() == KEPT


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_each_scenario_that_a_page_shows_whole_is_valid_and_names_the_schema(block: Block) -> None:
    assert_checked(block.text, ROOT, 0)


def test_pages_show_whole_scenarios() -> None:
    """The tutorial's, the README's, and those of how-tos."""
    assert len(SHOWN) >= 7


def test_a_scenario_that_the_testbed_writes_names_the_schema(tmp_path: Path) -> None:
    scenario = load_scenario(SCENARIOS[0])
    (tmp_path / "link").symlink_to(tmp_path)
    assert_checked(schema_line(tmp_path / "link") + scenario_yaml(scenario), tmp_path, 0)


SOUND = """
name: sound
task: {kind: classification, dataset: rotten_tomatoes}
tiers:
  - {name: device, nodes: 2, model: embedded/device, cpus: 0.25, memory: 1GiB}
  - {name: cloud, model: {kind: recorded, service: 40ms}, cpus: 1, memory: 1.5 GiB, batch: 1}
links:
  - {name: up, between: [device, cloud], rate: 1.5 Mbit/s, delay: 10ms, jitter: {sd: 1ms}, queue: 2bdp}
methods: [{name: cloud-only}, {name: mine, policy: recserve, beta: {device: 0.2}}]
trace: {requests: 5, arrivals: {rate: 3}}
events: [{at: 1s, link: up, set: {rate: 1mbit, queue: 50}}, {at: 2s, node: cloud1, do: kill, for: 1s}]
"""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("nodes: 2", "node: 2"),
        ("nodes: 2", "nodes: 0"),
        ("name: device, nodes", "name: device1, nodes"),
        ("memory: 1GiB", "memory: 1024"),
        ("memory: 1GiB", "memory: 1Gi"),
        ("rate: 1.5 Mbit/s", "rate: 1.5 Mbps"),
        ("delay: 10ms", "delay: 10"),
        ("jitter: {sd: 1ms}", "jitter: {mean: 1ms}"),
        ("queue: 2bdp", "queue: 2x"),
        ("kind: classification", "kind: classify"),
        ("dataset: rotten_tomatoes", "dataset: tomatoes"),
        ("kind: recorded", "kind: record"),
        ("service: 40ms", "services: 40ms"),
        ("policy: recserve", "policy: recserv"),
        ("beta: {device: 0.2}", "beta: 1.5"),
        ("beta: {device: 0.2}", "thresholds: {device: 0.2}"),
        ("name: cloud-only", "name: cloudy"),
        ("do: kill", "do: stop"),
        ("at: 1s, link", "at: 1, link"),
        ("trace: {requests: 5, arrivals: {rate: 3}}", "trace: {requests: 5}"),
        ("name: sound", ""),
    ],
)  # fmt: skip
def test_what_a_scenario_refuses_the_schema_refuses_too(tmp_path: Path, right: str, wrong: str) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text(SOUND)
    load_scenario(path)
    assert list(CHECK.iter_errors(parse_yaml(SOUND))) == []
    assert right in SOUND
    path.write_text(SOUND.replace(right, wrong))
    data: dict[str, Any] = parse_yaml(path.read_text())
    assert list(CHECK.iter_errors(data)) != []
    with pytest.raises(TestbedError):
        load_scenario(path)
