"""A study from answer matrices alone: no scenario, no data set, no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from testbed.errors import TestbedError
from testbed.results.scorers import SCORERS
from testbed.scenario.matrix import Matrix, ModelAnswers
from testbed.scenario.reading.mistakes import explain, nearest
from testbed.scenario.requests import draw_trace, row_order
from testbed.scenario.scenario import Scenario
from testbed.scenario.sections.task import Task
from testbed.scenario.sections.trace import DrawnTrace
from testbed.scenario.workload.datasets import Example
from testbed.scenario.workload.trace_file import Request
from testbed.study.what_if.study import Floats, Split, Study, TierAnswers
from tiers.confidence import CONFIDENCES
from tiers.errors import ConfigError
from tiers.plugins import external

_TIER_NAME = re.compile(r"[a-z]([a-z0-9_]{0,18}[a-z_])?")
_SHOWN = 3


class Wanted(NamedTuple):
    """What a user asks of matrices: each field is an option of ``testbed what-if``."""

    tiers: str | None = None
    nodes: str | None = None
    requests: int | None = None
    seed: int | None = None
    calibration: int | None = None


class _Model(NamedTuple):
    """A model of a matrix, and the file that it is from."""

    path: Path
    matrix: Matrix
    answers: ModelAnswers


def study_of_matrices(read: Sequence[tuple[Path, Matrix]], wanted: Wanted) -> Study:
    """What matrices say to a trace that is drawn from their rows, as a scenario's is from its data set.

    Each matrix comes with the file that it was read from. If they have the whole held-out split, it is the
    same trace. Without ``requests`` each row is asked once.

    Raises:
        TestbedError: they do not fit each other, or an option does not fit them.
    """
    for other in read[1:]:
        _check_alike(read[0], other)
    models: dict[str, _Model] = {}
    for path, matrix in read:
        for name, answers in matrix.models.items():
            if name in models:
                raise TestbedError(
                    f"{path}: has the model {name}, as {models[name].path} has; give one of the two"
                )
            models[name] = _Model(path, matrix, answers)
    chosen = _tiers(wanted.tiers, models)
    path, matrix = read[0]
    kind = matrix.header.task.kind
    if external(kind):  # data do not say what is run
        raise TestbedError(f"{path}: its task is {kind}, a class in a file; give the scenario that names it")
    try:
        _ = SCORERS[kind]
    except ConfigError as error:
        raise TestbedError(f"{path}: {error}") from None
    dataset = matrix.header.dataset.name
    scenario = _scenario(matrix, list(chosen), wanted)
    rows = matrix.rows.tolist()
    lowest = scenario.tiers[0]
    devices = [f"{lowest.name}{number}" for number in range(1, lowest.nodes + 1)]
    assert isinstance(scenario.trace, DrawnTrace)
    trace = draw_trace(scenario.trace, dataset, devices, rows)
    places = {row: place for place, row in enumerate(rows)}
    at = np.array([places[request.row] for request in trace], dtype=np.int64)
    return Study(
        scenario,
        trace,
        at,
        matrix.prompt_bytes,
        matrix.references,
        {tier: tier_answers(model.path, model.matrix, model.answers.name) for tier, model in chosen.items()},
        split=_split(matrix, trace, scenario, wanted.calibration),
    )


def tier_answers(path: Path, matrix: Matrix, model: str, default: str | None = None) -> TierAnswers:
    """A model of a matrix as a tier of a study; ``default`` is the tier's confidence, if it has one."""
    answers, recorded = matrix.models[model], matrix.header.models[model].confidence
    own = any(confidence is not None for confidence in answers.confidence)

    def confidences(name: str | None) -> Floats:
        asked = name or default
        if asked is None and external(recorded):  # data do not say what is run
            raise TestbedError(
                f"{path}: model {model}: was recorded with the confidence {recorded}, a class in a file; "
                "name it: --set confidence=FILE.py:CLASS"
            )
        asked = asked or recorded
        if own and CONFIDENCES.today(asked) != CONFIDENCES.today(recorded):
            raise TestbedError(
                f"{path}: model {model}: has confidences by {recorded} and nothing to compute {asked} from"
            )
        try:
            return answers.confidences(asked)
        except (ConfigError, ValueError) as error:
            raise TestbedError(f"{path}: model {model}: {error}") from None

    return TierAnswers(answers.answers, confidences)


def _check_alike(first: tuple[Path, Matrix], other: tuple[Path, Matrix]) -> None:
    """Both are of the same prompts of the same data set, for the same task."""
    (path, matrix), (other_path, other_matrix) = first, other
    ours, theirs = matrix.header, other_matrix.header
    for what, one, two in (
        ("task", ours.task.kind, theirs.task.kind),
        ("labels", list(ours.task.labels), list(theirs.task.labels)),
        (
            "data set",
            f"{ours.dataset.name} {ours.dataset.split}",
            f"{theirs.dataset.name} {theirs.dataset.split}",
        ),
        ("cleaning", ours.cleaning, theirs.cleaning),
    ):
        if one != two:
            raise TestbedError(f"{other_path}: its {what} is {two}, and {path} has {one}; record both alike")
    ours_rows, theirs_rows = set(matrix.rows.tolist()), set(other_matrix.rows.tolist())
    for lacking, by, of in (
        (ours_rows - theirs_rows, other_path, path),
        (theirs_rows - ours_rows, path, other_path),
    ):
        if lacking:
            raise TestbedError(
                f"{by}: lacks {len(lacking)} of the rows that {of} has, such as {some(lacking)}; "
                "record both with the same rows"
            )
    prompts = zip(matrix.prompt_sha256, other_matrix.prompt_sha256, strict=True)
    if unlike := [row for row, (one, two) in zip(matrix.rows.tolist(), prompts, strict=True) if one != two]:
        raise TestbedError(
            f"{other_path}: {len(unlike)} of its {len(matrix)} prompts are not those of {path}, such as row "
            f"{some(unlike)}: another revision of the data set; record both from the same"
        )


def some(rows: Any) -> str:
    """The first few of some rows, in words."""
    first = sorted(rows)
    return ", ".join(map(str, first[:_SHOWN])) + (", …" if len(first) > _SHOWN else "")


def _tiers(listed: str | None, models: Mapping[str, _Model]) -> dict[str, _Model]:
    """The tiers, lowest first, each with its model: ``device,edge`` or ``device=MODEL,edge=MODEL``."""
    if listed is None:
        named = {name.rpartition("/")[2]: name for name in models}
        if len(named) < len(models) or not all(map(_TIER_NAME.fullmatch, named)):
            raise TestbedError(
                f"--tiers: say which model each tier has, lowest first, like device=MODEL,cloud=MODEL; "
                f"the models are {', '.join(models)}"
            )
        return {tier: models[name] for tier, name in named.items()}
    chosen: dict[str, _Model] = {}
    for entry in listed.split(","):
        tier, equals, name = (part.strip() for part in entry.partition("="))
        by_name = [known for known in models if known == tier or known.rpartition("/")[2] == tier]
        name = name if equals else (by_name[0] if len(by_name) == 1 else tier)
        if not _TIER_NAME.fullmatch(tier) or tier in chosen:
            raise TestbedError(
                f"--tiers {listed}: {tier!r} is no name of a tier, or is there twice; write small letters, "
                "like device=MODEL,cloud=MODEL"
            )
        if name not in models:
            raise TestbedError(f"--tiers {listed}: no model {name!r}; {nearest(name, models)}")
        chosen[tier] = models[name]
    return chosen


def _scenario(matrix: Matrix, tiers: Sequence[str], wanted: Wanted) -> Scenario:
    """Tiers, topology, task and trace, as a scenario has them; nothing in it is ever started."""
    nodes = _nodes(wanted.nodes, tiers)
    model = {"kind": "recorded", "service_ms": 0.0}
    data = {
        "name": "what-if",
        "task": {"kind": "classification", "dataset": "rotten_tomatoes"},  # stands for the matrix's
        "tiers": [
            {"name": tier, "nodes": count, "model": model, "cpus": 0.01, "memory_bytes": 1 << 24}
            for tier, count in zip(tiers, nodes, strict=True)
        ],
        "links": [
            {"name": f"link{number}", "between": between}
            for number, between in enumerate(pairwise(tiers), start=1)
        ],
        "methods": [{"name": f"{tiers[-1]}-only"}],
        "trace": {
            "requests": len(matrix) if wanted.requests is None else wanted.requests,
            "arrivals": {"rate_per_s": 1.0},
            "seed": 1 if wanted.seed is None else wanted.seed,
        },
        "replay": {"mode": "lockstep"},
        "calibration": None if wanted.calibration is None else {"rows": wanted.calibration},
    }
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        field, sentence = explain(error, data)
        option = {"trace.requests": "--requests", "trace.seed": "--seed", "calibration.rows": "--calibration"}
        raise TestbedError(f"{option.get(field, f'--tiers, --nodes: {field}')}: {sentence}") from None
    told = matrix.header
    # The matrix's data set need not be known here, so nothing is held against it.
    task = Task.model_construct(
        kind=told.task.kind, dataset=told.dataset.name, labels=tuple(told.task.labels)
    )
    return scenario.model_copy(update={"task": task})


def _nodes(listed: str | None, tiers: Sequence[str]) -> list[int]:
    if listed is None:
        return [1] * len(tiers)
    words = [word.strip() for word in listed.split(",")]
    if len(words) != len(tiers) or not all(word.isdecimal() and int(word) for word in words):
        raise TestbedError(
            f"--nodes {listed}: give a number of nodes for each of the tiers {', '.join(tiers)}, like "
            f"{','.join(['2', *'1' * (len(tiers) - 1)])}"
        )
    return [int(word) for word in words]


def _split(matrix: Matrix, trace: Sequence[Request], scenario: Scenario, wanted: int | None) -> Split | None:
    """The last rows of the order that the trace has its first of, whose prompts it does not have."""
    if wanted is None:
        return None
    rows = matrix.rows.tolist()
    places = {row: place for place, row in enumerate(rows)}
    asked = {matrix.prompt_sha256[places[request.row]] for request in trace}
    order = list(islice(row_order(matrix.header.dataset.name, scenario.seed, rows), len(rows)))
    left = {matrix.prompt_sha256[places[row]]: places[row] for row in reversed(order)}
    found = [place for key, place in left.items() if key not in asked][:wanted]
    if len(found) < wanted:
        raise TestbedError(
            f"--calibration: {wanted} rows are asked for, and the trace leaves {len(found)} of the "
            f"{len(rows)}; ask for fewer rows or fewer requests"
        )
    named = [
        (matrix.header.dataset.name, Example(rows[place], "", matrix.references[place] or ""))
        for place in found
    ]
    return Split(named, found)
