"""docs/notebook.ipynb, executed without Jupyter: its cells in order, in one plain interpreter.

``python -m tests.docs.notebook`` executes it anew, as root, and keeps the outputs in it; ``--out FILE``
writes elsewhere. Outputs are what Jupyter would show: what a cell prints, and the value of its last
expression as text, HTML or picture, whichever it has (nbformat 4.5).
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests import ROOT

KEPT = ROOT / "docs" / "notebook.ipynb"
VARIES = "varies"
"""Tag of a cell whose output has times, or frames that TCP's timers sent: other ones in each run."""


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells with code, in order."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(notebook: dict[str, Any]) -> None:
    """Execute all code cells in one namespace, and put their outputs in their place."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(code_cells(notebook), 1):
        cell["execution_count"] = number
        cell["outputs"] = _outputs("".join(cell["source"]), names, number)


def _outputs(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """What a cell prints, and its last expression's value."""
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(body, []), f"<cell {number}>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())})
    if value is not None:
        result = {"output_type": "execute_result", "execution_count": number}
        outputs.append({**result, "data": _shown(value), "metadata": {}})
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    """A value by media type, in the order of what shows it best."""
    if hasattr(value, "_repr_mimebundle_"):
        bundle = value._repr_mimebundle_()
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        return {kind: _text(content) for kind, content in data.items()}
    data = {"text/plain": _lines(repr(value))}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = _lines(value._repr_html_())
    return data


def _text(content: Any) -> Any:
    return base64.b64encode(content).decode() if isinstance(content, bytes) else _lines(str(content))


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def main() -> None:
    """Execute the notebook as it is, and write it with its new outputs."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--out", type=Path, default=KEPT)
    notebook = json.loads(KEPT.read_text())
    execute(notebook)
    arguments.parse_args().out.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
