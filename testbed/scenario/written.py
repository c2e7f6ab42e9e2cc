"""A scenario as the file that a person would write for it, with every default written out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.section import AS_A_PERSON

_WIDTH = 110
_SCHEMA = Path(__file__).parents[2] / "docs" / "scenario.schema.json"


def schema_line(folder: Path) -> str:
    """The comment by which editors check a scenario in a folder; empty where there is no checkout."""
    if not _SCHEMA.is_file():
        return ""
    return f"# yaml-language-server: $schema={os.path.relpath(_SCHEMA, folder.resolve())}\n"


def scenario_yaml(scenario: Scenario) -> str:
    """The YAML that :func:`~testbed.scenario.scenario.load_scenario` reads back to an equal scenario.

    Paths in it are absolute, as they are in every scenario that was loaded from a file.
    """
    written = scenario.model_dump(context=AS_A_PERSON)
    return str(
        yaml.dump(
            written,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            default_flow_style=None,
            width=_WIDTH,
        )
    )


class _Dumper(yaml.SafeDumper):
    """Writes what stands in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
