"""YAML from strangers: no tags, no repeated keys, and bounds on size, depth and what aliases expand to.

What YAML takes for something else than its author is refused too, with what to write: ``010`` (8 to YAML
1.1), ``10:30`` (630), a key such as ``NO`` (false), a key without a value (null).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from testbed.errors import TestbedError
from testbed.host.files import without_waiting
from testbed.host.places import unfit_file
from testbed.scenario.reading.encoding import other_than_utf_8

MAX_FILE_BYTES = 256 * 1024
MAX_VALUES = 20_000
"""Values of a file, those that aliases repeat counted each time."""
MAX_DEPTH = 32
_NULL, _INT, _FLOAT, _STR, _MERGE, _VALUE = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "int", "float", "str", "merge", "value")
)
_TEXTS = (_STR, _MERGE, _VALUE)
_OCTAL = re.compile(r"[-+]?0[0-7_]+")


def yaml_text(path: Path) -> str:
    """The text of a YAML file, without a byte order mark.

    Raises:
        TestbedError: it cannot be read, is no text in UTF-8, or is too large.
    """
    try:
        if os.path.isfile(path) and (unfit := unfit_file(path.resolve())):  # noqa: PTH113  a NUL is no file
            raise TestbedError(f"{path}: {unfit}; give the path of a YAML file")
        with open(path, "rb", opener=without_waiting) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # a NUL in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise TestbedError(f"{path}: cannot be read ({reason}); give the path of a YAML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise TestbedError(f"{path}: is larger than {MAX_FILE_BYTES // 1024} KiB; a scenario is a few KiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if other := other_than_utf_8(content):
            raise TestbedError(f"{path}: is not UTF-8 text but {other}") from None
        raise TestbedError(f"{path}: is not UTF-8 text at byte {error.start}; save it as UTF-8") from None


def parse_yaml(text: str, *, as_written: bool = False) -> Any:
    """The one YAML document of ``text``, as dicts, lists and scalars.

    Args:
        text: YAML.
        as_written: every scalar is the text that stands there: ``NO`` and not false.

    Raises:
        TestbedError: it is not YAML, repeats a key, is too large, or says what YAML takes for something else;
            the message begins with line and column.
    """
    try:
        loader = (_LoaderOfTexts if as_written else _Loader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        what = _one_line(", ".join(part for part in (error.context, error.problem) if part))
        raise TestbedError(f"{where}: {what}; {error.note or _mend(what)}") from None
    except (yaml.YAMLError, ValueError) as error:  # unreadable characters; a date such as 2024-13-45
        raise TestbedError(f"1:1: {_one_line(str(error))}; mend the YAML there") from None
    except RecursionError:
        raise TestbedError(f"1:1: is nested deeper than {MAX_DEPTH} levels; make it flatter") from None


def in_yaml(text: str) -> str:
    """A text as it is to be written in YAML's lists: in quotes where it would be taken for something else."""
    forms = [text, json.dumps(text, ensure_ascii=False), json.dumps(text)]
    return next(filter(lambda form: _is(form, text), forms), forms[-1])


def _is(form: str, text: str) -> bool:
    try:
        return bool(parse_yaml(f"[{form}]") == [text])
    except TestbedError:
        return False


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, except that a repeated key is a mistake and not the last one's victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.tag == _MERGE:
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key must be a plain word", key)
            if key.value in seen:
                raise _refusal(f"key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _LoaderOfTexts(_Loader):
    """Makes each scalar the text that stands there."""


for _tag in ("null", "bool", "int", "float", "timestamp"):
    _LoaderOfTexts.add_constructor(f"tag:yaml.org,2002:{_tag}", lambda _loader, node: node.value)


def _check(root: yaml.Node) -> None:
    """Refuse a document that aliases blow up, that contains itself, or that says other than it seems to."""
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
            _check_entries(node)
            pending.extend((child, depth + 1) for child in reversed(node.value))
        elif isinstance(node, yaml.MappingNode):
            _check_pairs(node)
            pending.extend((child, depth + 1) for pair in reversed(node.value) for child in reversed(pair))
        else:
            _check_number(node)


def _check_entries(node: yaml.SequenceNode) -> None:
    for entry in node.value:
        if _is_nothing(entry):
            raise _refusal("a list entry is empty", entry, "write it, or remove it")


def _check_pairs(node: yaml.MappingNode) -> None:
    """Every key is a text and has a value."""
    before = ""
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else "a key"
        if _is_nothing(value):
            raise _refusal(f"{name} has no value", key, _mend_for_nothing(name, before))
        if isinstance(key, yaml.ScalarNode) and key.tag not in _TEXTS:
            raise _refusal(f"key {name} is no text to YAML", key, f'write "{name}" in quotes')
        before = value.value if value.tag == _INT else ""


def _mend_for_nothing(key: str, before: str) -> str:
    """What to write for a key without a value, after one with the value ``before`` if that is a number."""
    name, colon, rest = key.partition(":")
    if colon and rest:
        return f"write {name}: {rest} with a space after the colon"
    if before and key.isdecimal():
        return f"write {before}.{key} with a point, for a comma ends a value"
    return "write one, or remove it"


def _check_number(node: yaml.Node) -> None:
    """A number is what people take it for too, who do not count in eights or sixties."""
    text = node.value
    if node.tag not in (_INT, _FLOAT) or not (_OCTAL.fullmatch(text) or ":" in text):
        return
    number = _Loader("").construct_object(node)
    shown = f"{number:g}" if node.tag == _FLOAT else f"{number}"
    if ":" in text:
        choices = shown
    elif int(text) == number:
        return
    else:
        choices = f"{shown} or {int(text)}"
    raise _refusal(
        f"{text} is {shown} to YAML", node, f'write {choices}, or "{text}" in quotes if it is a name'
    )


def _is_nothing(node: yaml.Node) -> bool:
    return bool(node.tag == _NULL and node.value == "")


def _refusal(problem: str, node: yaml.Node, mend: str | None = None) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark, note=mend)


def _mend(problem: str) -> str:
    return "indent with spaces, not with tabs" if "'\\t'" in problem else "mend the YAML there"


def _one_line(text: str) -> str:
    return " ".join(text.split())
