"""The communication burden as the RecServe paper counts it: prompt and answer, at both ends of every hop.

An answer from tier *i* of 1, 2, … costs 2 (i - 1)(|x| + |y|) bytes, with |x| the UTF-8 bytes of the prompt
and |y| those of the answer (arXiv:2505.16502). Where one tier alone serves, devices reach it in one hop.
Nothing of it is measured: it follows from who answered what.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from testbed.results.columns import Row
from testbed.scenario.sections.methods import Method


def paper_bytes(
    levels: ArrayLike, prompt_bytes: ArrayLike, answer_bytes: ArrayLike, alone: bool = False
) -> NDArray[np.int64]:
    """What each of some answered requests costs, in bytes.

    Args:
        levels: the tier that answered, counted from 0, the device's.
        prompt_bytes: UTF-8 bytes of the prompt, as it was sent.
        answer_bytes: UTF-8 bytes of the answer.
        alone: whether the method lets one tier alone serve, which then is one hop away from every device.
    """
    levels, prompts, answers = (
        np.asarray(given, dtype=np.int64) for given in (levels, prompt_bytes, answer_bytes)
    )
    hops = np.minimum(levels, 1) if alone else levels
    return np.asarray(2 * hops * (prompts + answers), dtype=np.int64)


def burden_paper_bytes(
    method: Method, tiers: Sequence[str], rows: Sequence[Row], among: Container[str] | None = None
) -> int | None:
    """The sum over a method's answered requests, of those ``among`` these ids, from ``requests.parquet``.

    ``tiers`` are the scenario's, lowest first. What a request did above the tier whose answer was returned
    does not count, nor what was sent twice; a tier that only relays is a hop as any other. ``None`` where a
    row lacks the prompt's length, as in runs of schema version 1 and 2.
    """
    answered = [
        row for row in rows if row["outcome"] == "answered" and (among is None or row["request_id"] in among)
    ]
    prompts: list[Any] = [row.get("prompt_bytes") for row in answered]
    if None in prompts:
        return None
    levels = [tiers.index(row["tier"]) for row in answered]
    answers = [len(row["answer"].encode()) for row in answered]
    return int(paper_bytes(levels, prompts, answers, method.only_tier is not None).sum())
