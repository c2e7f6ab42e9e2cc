"""The JSON Schema in docs/, with what the tables of docs/SCENARIOS.md say of each key.

``python -m tests.scenario.schema_file`` writes it anew, and the page's chapter of types and defaults.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from testbed.scenario.json_schema import scenario_schema
from tests import ROOT

KEPT = ROOT / "docs" / "scenario.schema.json"
PAGE = ROOT / "docs" / "SCENARIOS.md"
HEADINGS = {
    "The file": ("",),
    "`task`": ("Task",),
    "A data set's directory, or a file of yours": ("HubFolder", "OwnDataset"),
    "`tiers`": ("Tier",),
    "`price` of a tier": ("Price",),
    "`model` of a tier": ("model.",),
    "`links`": ("LinkEntry", "Figures", "LinkFigures"),
    "More than a plain figure": ("DelayFile", "Jitter", "BurstLoss"),
    "`graph`": ("GraphEntry",),
    "`methods`": ("method.",),
    "`trace`": ("DrawnTrace", "FileTrace"),
    "`arrivals`": ("Arrivals",),
    "`replay`": ("Replay",),
    "`events`": ("BackgroundFlow", "LinkChange", "LinkDown", "LinkUp", "NodeEvent", "RateFile"),
    "`flow`": ("FlowEnds",),
    "`calibration`": ("CalibrationSplit",),
}
"""By heading of the page, the sections (or what their names begin with) whose keys its table has."""
_KINDS = {"HubFolder": "path", "OwnDataset": "file"}
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Row(NamedTuple):
    """A row of a table of keys: under which heading, which keys, what they are for, and what they mean."""

    heading: str
    keys: tuple[str, ...]
    applies_to: tuple[str, ...]
    meaning: str


def rows() -> list[Row]:
    """The rows of all tables of keys on the page."""
    found, heading, width = [], "", 0
    for line in PAGE.read_text().splitlines():
        if line.startswith("#"):
            heading, width = line.lstrip("# "), 0
        elif line.startswith("| key |"):
            width = line.count("|") - 1
        elif width and line.startswith("| `"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == width, line
            everywhere = width < 3 or cells[1].startswith("all")
            applies_to = () if everywhere else tuple(_CODE.findall(cells[1]))
            found.append(Row(heading, tuple(_CODE.findall(cells[0])), applies_to, _plain(cells[-1])))
    return found


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text).replace("`", "").replace("**", "")


def sections(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each section in the schema, and its keys; the scenario itself has no name."""
    yield "", schema["properties"]
    for name, section in schema["$defs"].items():
        if "properties" in section:
            yield name, section["properties"]


def meaning(name: str, key: str) -> str | None:
    """What the page says of a section's key."""
    kind = _KINDS.get(name, name.partition(".")[2])
    for row in rows():
        ours = any(
            name == own or (own.endswith(".") and name.startswith(own)) for own in HEADINGS[row.heading]
        )
        if ours and key in row.keys and (not row.applies_to or kind in ("", "class", *row.applies_to)):
            return row.meaning
    return None


def described_schema() -> dict[str, Any]:
    """The schema, with a description of each key that the page has."""
    schema = scenario_schema()
    for name, keys in sections(schema):
        for key, value in keys.items():
            keys[key] = {**value, "description": meaning(name, key)}
    return schema


def written() -> str:
    return json.dumps(described_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from tests.scenario.types_table import page

    KEPT.write_text(written())
    PAGE.write_text(page())
