"""docs/notebook.ipynb, executed without Jupyter: its cells in order, in one plain interpreter.

``python -m tests.docs.notebook`` executes it anew, as root, keeps the outputs in it, and makes of it the page
docs/NOTEBOOK.md for the site; ``--out FILE`` writes elsewhere, ``--page`` makes the page alone.
Outputs are what Jupyter would show: what a cell prints, and the value of its last expression as text, HTML
or picture, whichever it has (nbformat 4.5).
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from tests import ROOT

KEPT = ROOT / "docs" / "notebook.ipynb"
PAGE = ROOT / "docs" / "NOTEBOOK.md"
PICTURE = ROOT / "docs" / "pictures" / "notebook.png"
_MADE_BY = "Made of [notebook.ipynb](notebook.ipynb), which Jupyter opens, as it was last executed.\n"
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


def as_page(notebook: dict[str, Any]) -> tuple[str, bytes]:
    """The notebook in Markdown, and its picture."""
    parts: list[str] = []
    picture = b""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {"text/plain": output.get("text")})
            if "image/png" in data:
                picture = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![the notebook's figure](pictures/{PICTURE.name})")
            elif "text/html" in data:
                parts.append(re.sub(r"(?s)<style.*?</style>\n?", "", "".join(data["text/html"])))
            else:
                parts.append(f"```text\n{''.join(data['text/plain']).rstrip()}\n```")
    heading, rest = parts[0].split("\n", 1)
    return "\n\n".join([heading, _MADE_BY + rest, *parts[1:]]) + "\n", picture


def write_page() -> None:
    """Make the page of the notebook that is kept."""
    page, picture = as_page(json.loads(KEPT.read_text()))
    PAGE.write_text(page)
    PICTURE.write_bytes(picture)


def main() -> None:
    """Execute the notebook as it is, and write it with its new outputs."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--out", type=Path, default=KEPT)
    arguments.add_argument("--page", action="store_true", help="execute nothing")
    given = arguments.parse_args()
    if not given.page:
        notebook = json.loads(KEPT.read_text())
        execute(notebook)
        given.out.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    if given.out == KEPT:
        write_page()


if __name__ == "__main__":
    main()
