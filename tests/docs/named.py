"""What a test has to hold to run a command that a document shows: the words in its source's strings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT
from tests.docs.pages import words

_OURS = re.compile(r"[A-Z]+…?|[A-Z]+=.*|.*/.*|.*\.(?:yaml|parquet|jsonl|py)")
"""What a test has of its own: placeholders, variables, paths and addresses."""
_STARTED_BY = {"testbed", "sudo", "python", "python3"}


def lacking(command: str, path: Path, name: str) -> list[str]:
    """The words of a command that the source of a test does not have.

    Of the command, each word but ``testbed`` and what a test has of its own (files, placeholders). Of the
    test, the strings and numbers of its function and of all that it names, in its file or in others of
    ``tests/``: helpers, fixtures, constants. What it asserts or tells in a docstring runs nothing, and does
    not count. Of a workflow file (``.yml``) that it names, all words do.
    """
    held = {word for text in strings(path, name, set()) for word in _split(text)}
    needed = [part for word in words(command) for part in _split(word)]
    return [word for word in needed if word not in held | _STARTED_BY and not _OURS.fullmatch(word)]


def strings(path: Path, name: str, seen: set[tuple[Path, str]]) -> Iterator[str]:
    """The strings and numbers of a function, class or constant, and of whatever of ``tests/`` it names."""
    seen.add((path, name))
    here, imported = _names(path)
    if name in imported:
        other, original = imported[name]
        if (other, original) not in seen:
            yield from strings(other, original, seen)
    for part in _told(here[name]) if name in here else ():
        if isinstance(part, ast.Constant) and isinstance(part.value, str | int):
            text = str(part.value)
            yield text
            if text.endswith(".yml") and (ROOT / text).is_file():
                yield (ROOT / text).read_text()
        named = part.id if isinstance(part, ast.Name) else part.arg if isinstance(part, ast.arg) else None
        if named is not None and (path, named) not in seen:
            yield from strings(path, named, seen)


def _names(path: Path) -> tuple[dict[str, ast.stmt], dict[str, tuple[Path, str]]]:
    """What a file defines, and what it takes from which other file of ``tests/``."""
    here: dict[str, ast.stmt] = {}
    imported: dict[str, tuple[Path, str]] = {}
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            here[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            here |= {target.id: statement for target in targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("tests."):
            other = ROOT / f"{str(statement.module).replace('.', '/')}.py"
            if other.is_file():
                imported |= {alias.asname or alias.name: (other, alias.name) for alias in statement.names}
    return here, imported


def _told(node: ast.AST) -> Iterator[ast.AST]:
    """All parts of a statement but docstrings and what is asserted."""
    yield node
    for child in ast.iter_child_nodes(node):
        text_alone = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        if not isinstance(child, ast.Assert) and not text_alone:
            yield from _told(child)


def _split(text: str) -> list[str]:
    """A text's words without the quotes around them; of ``--option=value``, both."""
    found = [word.strip("'\"()") for word in text.split()]
    return [part for word in found for part in (word.split("=", 1) if word.startswith("--") else [word])]
