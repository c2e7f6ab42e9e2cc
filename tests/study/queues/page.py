"""The figures of docs/CITY.md, from the files that hold them: ``python -m tests.study.queues.page [--city]``.

What stands between two ``made by`` lines of the page is written anew. With ``--city`` the city of a million
requests is predicted anew first, which takes a minute or two, into ``city.json`` beside this file.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testbed.scenario.sections.trace import MAX_REQUESTS
from testbed.study.queues.figures import PERCENTS
from testbed.study.queues.predict import FIGURES, errors_by_devices, validated
from tests import ROOT
from tests.bench.city_bench import Used, bytes_a_request, used

PAGE = ROOT / "docs" / "CITY.md"
CITY_FIGURES = Path(__file__).parent / "city.json"
REQUESTS, CLOUDS = 1_000_000, 100
WORDS = {
    "latency_ms_p50": "p50",
    "latency_ms_p95": "p95",
    "latency_ms_p99": "p99",
    "prompt_bytes": "prompt bytes",
    "frame_bytes": "bytes of frames",
}
LATENCIES = [name for name in WORDS if name.startswith("latency")]
_BLOCK = re.compile(r"(<!-- made by: [^\n]* \((?P<name>\w+)\) -->\n\n).*?(\n<!-- end of \w+ -->)", re.DOTALL)


def written(page: str) -> str:
    """The page's text with today's figures."""
    made = {"city": _city, "runs": _runs, "errors": _errors}
    return _BLOCK.sub(
        lambda found: found[1] + "".join(f"{line}\n" for line in made[found["name"]]()) + found[3], page
    )


def _worst() -> dict[str, float]:
    each = errors_by_devices().values()
    return {name: max(of[name] for of in each) for name in FIGURES}


def _bullet(text: str) -> str:
    return "\n".join(textwrap.wrap(f"- {text}", 120, subsequent_indent="  "))


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")


def _city() -> Iterator[str]:
    """What the city's methods put where, and how long it took to predict."""
    few, found = (Used(**one) for one in json.loads(CITY_FIGURES.read_text()))
    yield (
        "| method | accuracy | served by device/edge/cloud | p50 ms | p95 ms | p99 ms | "
        "prompt MB up from device/edge | frame MB up from device/edge | frame MB down to device/edge |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for one in found.points:
        served = "/".join(f"{one[f'served_by_{tier}']:,}" for tier in ("device", "edge", "cloud"))
        times = [f"{one[name]:.0f} ± {one[name] * _worst()[name]:.0f}" for name in LATENCIES]
        sizes = [
            "/".join(f"{one[f'{what}_{tier}'] / 1e6:.1f}" for tier in ("device", "edge"))
            for what in ("prompt_bytes", "frame_bytes_up", "frame_bytes_down")
        ]
        cells = [one["method"], f"{one['accuracy']:.3f}", served, *times, *sizes]
        yield f"| {' | '.join(cells)} |"
    yield ""
    for one in found.points:
        most = max(value for key, value in one.items() if re.fullmatch(r"load_(up|down)_\w+_max", key))
        mean, busiest = (100 * one[f"load_cloud_{name}"] for name in ("mean", "max"))
        yield _bullet(
            f"Under `{one['method']}` a cloud is busy for {mean:.0f} % of the time, the busiest of the "
            f"{CLOUDS} for {busiest:.0f} %. Of the requests that a cloud infers, one in twenty waits for "
            f"{one['queue_ms_p95_cloud']:.0f} ms or more. The busiest link has a load of {most:.4f}."
        )
    yield _bullet(
        f"The prediction took {found.wall_s:.0f} s and {found.cpu_s:.0f} s of CPU time on two cores, "
        f"and {found.peak_bytes / 2**30:.2f} GiB of memory."
    )
    yield _bullet(
        f"Memory is linear in the number of requests: {few.peak_bytes / 2**20:.0f} MiB for "
        f"{few.requests:,}, and {bytes_a_request(few, found):.0f} bytes for each one more. "
        f"A trace has {MAX_REQUESTS:,} at most: with these methods, {found.peak_bytes / 2**30:.2f} GiB."
    )


def _runs() -> Iterator[str]:
    """Measured → predicted, and how far that is off."""
    yield "| devices, edges, clouds | method | p50 ms | p95 ms | p99 ms | prompt bytes | bytes of frames |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for run in validated()["runs"]:
        nodes = ", ".join(setting.rpartition("=")[2] for setting in run["settings"])
        for method in run["methods"]:
            cells = [_cell(method[name], ".1f" if "ms" in name else ",") for name in WORDS]
            yield f"| {nodes} | {method['method']} | {' | '.join(cells)} |"


def _cell(pair: dict[str, float], form: str) -> str:
    off = pair["predicted"] / pair["measured"] - 1
    return f"{pair['measured']:{form}} → {pair['predicted']:{form}} ({off:+.1%})"


def _errors() -> Iterator[str]:
    """The largest error by size, what it is without the host's share, and what the runs say of themselves."""
    verdicts = ("bytes", "decisions", "latency")
    yield f"| devices | {' | '.join(WORDS.values())} | the run's own verdicts on {', '.join(verdicts)} |"
    yield f"|---|{'--:|' * len(WORDS)}---|"
    runs: Sequence[Any] = validated()["runs"]
    for run in runs:
        errors = errors_by_devices()[run["devices"]]
        told = ", ".join(str(run["faithful"][name]).lower() for name in verdicts)
        yield f"| {run['devices']} | {' | '.join(_percent(errors[name]) for name in WORDS)} | {told} |"
    worst = _worst()
    yield f"| **largest: the ±** | {' | '.join(f'**{_percent(worst[name])}**' for name in WORDS)} | |"
    yield ""
    methods = [method for run in runs for method in run["methods"]]
    pairs = [method[name] for method in methods for name in LATENCIES]
    low = sum(pair["predicted"] < pair["measured"] for pair in pairs)
    exact = sum(one["prompt_bytes"]["predicted"] == one["prompt_bytes"]["measured"] for one in methods)
    path = ", ".join(f"p{percent} {_percent(worst[f'path_ms_p{percent}'])}" for percent in PERCENTS)
    yield _bullet(
        "Leaving out the host's share (HTTP and JSON in nodes, exchange with the device), queues, inferences "
        f"and links were off by at most {path}."
    )
    yield _bullet(f"{low} of the {len(pairs)} latencies in the table above were predicted too low.")
    yield _bullet(f"Prompt bytes were predicted exactly in {exact} of {len(methods)} rows.")


def predict_city() -> None:
    """Predict the city, and a tenth of its requests, and keep what that took and gave."""
    found = [asdict(used(requests)) for requests in (REQUESTS // 10, REQUESTS)]
    CITY_FIGURES.write_text(json.dumps(found, indent=1) + "\n")


def write() -> None:
    """Put today's figures into the page."""
    PAGE.write_text(written(PAGE.read_text()))
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--city"]:
        predict_city()
    write()
