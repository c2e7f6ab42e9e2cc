"""Reads the text of a user's Python file without running it: its code runs in containers alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any


def class_attribute(path: Path, class_name: str, attribute: str) -> Any:
    """The value that a class of the file gives one of its attributes, where that is written as a literal.

    ``None`` where it is not, and of a file that is no Python: what runs it says so.
    """
    try:
        module = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for found in module.body:
        if isinstance(found, ast.ClassDef) and found.name == class_name:
            return _literal(found, attribute)
    return None


def _literal(found: ast.ClassDef, attribute: str) -> Any:
    for statement in found.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        if any(isinstance(target, ast.Name) and target.id == attribute for target in targets):
            try:
                return ast.literal_eval(statement.value)  # type: ignore[attr-defined]
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                return None
    return None
