"""How long the pages of a large run and of a large sweep take to make, and how large they are.

    python -m tests.bench.page_bench [RUN] [--requests 10000] [--methods 5] [--points 500]

The run's requests are repeated under new ids, at later times, and its methods under new names. RUN is by
default the small one that the tests have. The sweep's points are so many copies of it, over two keys.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from testbed.report.run_page import write_run_page
from testbed.report.sweep_page import write_sweep_page
from testbed.results.columns import TABLES
from testbed.results.run import load_run
from testbed.results.seals import PAGE
from testbed.study.sweep.frontier import frontiers_of
from testbed.study.sweep.points import Point
from tests import ROOT
from tests.study.sweep.made import data_of, made_sweep


def inflate(run: Path, requests: int, methods: int) -> None:
    """Repeat the rows of a run directory in place."""
    manifest, summary = (json.loads((run / f"{name}.json").read_text()) for name in ("manifest", "summary"))
    old = {method["name"]: method for method in manifest["scenario"]["methods"]}
    names = {f"{name}-{at}": name for at, name in enumerate(islice(cycle(old), methods))}
    manifest["scenario"]["methods"] = [{**old[name], "name": new} for new, name in names.items()]
    summary["methods"] = {new: summary["methods"][name] for new, name in names.items()}
    for name, content in (("manifest", manifest), ("summary", summary)):
        (run / f"{name}.json").write_text(json.dumps(content))
    for table in ("links.parquet", "tiers.parquet", "requests.parquet"):
        schema = TABLES[table]
        rows = pq.read_table(run / table).to_pylist()
        made = [
            {**row, "method": new}
            for new, name in names.items()
            for row in _repeated([row for row in rows if row["method"] == name], table, requests)
        ]
        pq.write_table(pa.Table.from_pylist(made, schema), run / table)


def _repeated(rows: list[dict[str, Any]], table: str, requests: int) -> list[dict[str, Any]]:
    if table != "requests.parquet":
        return rows
    last_s = max(row["done_at_s"] for row in rows)
    repeated = []
    for at, row in enumerate(islice(cycle(rows), requests)):
        later_s = at // len(rows) * last_s
        times = {name: row[name] + later_s for name in ("scheduled_at_s", "sent_at_s", "done_at_s")}
        repeated.append({**row, **times, "request_id": f"r{at:06d}"})
    return repeated


def main() -> None:
    """Print time and size, the second time too, when the script in the page has been made."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", default=ROOT / "tests" / "data" / "run-v1")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--methods", type=int, default=5)
    parser.add_argument("--points", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="testbed-bench-") as scratch:
        run = Path(shutil.copytree(given.run, Path(scratch) / "run"))
        inflate(run, given.requests, given.methods)
        print(f"{given.requests} requests under {given.methods} methods")
        for _ in range(2):
            began = time.perf_counter()
            page = write_run_page(load_run(run))
            seconds = time.perf_counter() - began
            print(f"  page in {seconds:.1f} s, {page.stat().st_size / 1e6:.2f} MB")
        sweep = made_sweep(
            Path(scratch) / "sweep", keys_of(given.points), change=partial(named, given.methods)
        )
        print(f"{len(sweep.points)} points under {given.methods} methods")
        for what, make in (
            ("tables", lambda: data_of(sweep)),
            ("frontiers", lambda: frontiers_of(sweep)),
            ("page", lambda: write_sweep_page(data_of(sweep))),
        ):
            began = time.perf_counter()
            make()
            print(f"  {what} in {time.perf_counter() - began:.1f} s")
        print(f"  {(sweep.path / PAGE).stat().st_size / 1e6:.2f} MB")


def keys_of(points: int) -> list[str]:
    """Values of two keys, in all so many points, or a few less."""
    betas = min(points, 10)
    losses = max(1, points // betas)
    return [
        f"methods.recserve.beta={','.join(f'{(at + 1) / (betas + 1):.3g}' for at in range(betas))}",
        f"links.core.loss={','.join(f'{at / 10:g}%' for at in range(losses))}",
    ]


def named(methods: int, _point: Point, summary: dict[str, Any]) -> None:
    """Give a summary so many methods, of the same figures."""
    old = cycle(list(summary["methods"].items()))
    summary["methods"] = {f"{name}-{at}": figures for at, (name, figures) in enumerate(islice(old, methods))}


if __name__ == "__main__":
    main()
