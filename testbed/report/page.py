"""A page of figures: one HTML file that holds all that it needs and opens without a network."""

from __future__ import annotations

import json
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
from rich.table import Table

from testbed.errors import TestbedError
from testbed.host.cache import cache_dir
from testbed.host.files import write_whole
from testbed.report.figures.figure import Subject
from testbed.report.figures.style import Style
from testbed.results.seals import PAGE

MEANINGS = {
    "bytes": "every byte that crossed a link has a cause, and the captures agree with the kernel's counters",
    "decisions": "every decision follows from what its node recorded, by the method's rule",
    "quality": "every request has one outcome, and every answer is one that the task knows",
    "latency": "links, orchestrator and host were as configured, on time and not short of CPU",
}
"""What a verdict that is true says."""


def write_page(directory: Path, page: str) -> Path:
    """Write ``report.html`` into the directory of a run or a sweep, and return its path.

    Raises:
        TestbedError: it cannot be written to.
    """
    path = directory / PAGE
    try:
        write_whole(path, page.encode())
    except OSError as error:
        raise TestbedError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def render(template: str, subject: Subject, *, command: str | None = None, **content: Any) -> str:
    """A page by a template of this directory, with what all pages have: title, figures and the script.

    ``command`` made it, if it is not ``testbed report``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    faithful = subject.faithful
    specs = {figure.name: _compact(figure.spec(Style(), faithful)) for figure in subject.figures}
    return environment.get_template(template).render(
        title=subject.name,
        kind=subject.kind,
        command=command or f"testbed report {subject.path.name} --page",
        version=metadata.version("llm-testbed"),
        figures=[(figure, figure.warning(faithful)) for figure in subject.figures],
        specs=for_script(specs),
        script=_bundle(),
        **content,
    )


def _compact(spec: dict[str, Any]) -> dict[str, Any]:
    """A specification whose data name their columns once, and not in every row."""
    datasets = {}
    for name, rows in spec["datasets"].items():
        columns = list(rows[0]) if rows else []
        datasets[name] = {"columns": columns, "rows": [[row[column] for column in columns] for row in rows]}
    return {**spec, "datasets": datasets}


def for_script(value: Any) -> str:
    """JSON that may stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def as_texts(made: Table) -> dict[str, Any]:
    """A table of the terminal as lists of texts: its title, head, rows, and the lines below it.

    ``left`` says of each column whether it is one of text.
    """
    columns = [[str(cell) for cell in column.cells] for column in made.columns]
    return {
        "title": str(made.title),
        "left": [column.justify == "left" for column in made.columns],
        "heads": [str(column.header).split("\n") for column in made.columns],
        "rows": list(zip(*columns, strict=True)),
        "notes": str(made.caption or "").splitlines(),
    }


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; making it takes seconds, so it is kept."""
    import vl_convert

    path = cache_dir() / "page" / f"vega-{metadata.version('vl-convert-python')}.js"
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        made: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    made = made.replace("</script", "<\\/script")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, made.encode())
    except OSError:
        pass  # a reader without a cache makes it each time
    return made
