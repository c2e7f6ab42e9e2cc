"""YAML from strangers: no tags, no repeated keys, and bounds on size, depth and what aliases expand to."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from testbed.errors import TestbedError
from testbed.host.files import without_waiting
from testbed.scenario.reading.encoding import other_than_utf_8

MAX_FILE_BYTES = 256 * 1024
MAX_VALUES = 20_000
"""Values of a file, those that aliases repeat counted each time."""
MAX_DEPTH = 32


def read_yaml(path: Path) -> Any:
    """The one document of a YAML file, as dicts, lists and scalars.

    Raises:
        TestbedError: it cannot be read, is not YAML, is too large, or repeats a key.
    """
    try:
        with open(path, "rb", opener=without_waiting) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise TestbedError(f"{path}: cannot be read ({reason}); give the path of a YAML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB; a scenario is a few KiB")
    try:
        return parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        if other := other_than_utf_8(content):
            raise TestbedError(f"{path}: is not UTF-8 text but {other}") from None
        raise TestbedError(f"{path}: is not UTF-8 text at byte {error.start}; save it as UTF-8") from None
    except TestbedError as error:
        raise TestbedError(f"{path}:{error}") from None


def parse_yaml(text: str) -> Any:
    """The one YAML document of ``text``.

    Raises:
        TestbedError: as :func:`read_yaml`; its message begins with line and column.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _bound(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise TestbedError(f"{where}: {_one_line(what)}; mend the YAML there") from None
    except (yaml.YAMLError, ValueError) as error:  # unreadable characters; a date such as 2024-13-45
        raise TestbedError(f"1:1: {_one_line(str(error))}; mend the YAML there") from None
    except RecursionError:
        raise TestbedError(f"1:1: is nested deeper than {MAX_DEPTH} levels; make it flatter") from None


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, except that a repeated key is a mistake and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be a plain word", key)
            if key.value in seen:
                raise _refusal(f"key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _bound(root: yaml.Node) -> None:
    """Refuse a document that aliases blow up, or that contains itself."""
    values = 0
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        values += 1
        if depth > MAX_DEPTH:
            raise _refusal(f"nested deeper than {MAX_DEPTH} levels", node)
        if values > MAX_VALUES:
            raise _refusal(f"more than {MAX_VALUES} values, aliases counted", node)
        if isinstance(node, yaml.SequenceNode):
            pending.extend((child, depth + 1) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            pending.extend((child, depth + 1) for pair in node.value for child in pair)


def _refusal(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _one_line(text: str) -> str:
    return " ".join(text.split())
