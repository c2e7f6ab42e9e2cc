"""The ladders that claims are held against, their recordings, and whether they rise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from testbed.console import Quiet, Reporter
from testbed.errors import TestbedError
from testbed.host.cache import cache_dir
from testbed.host.files import write_whole
from testbed.scenario.matrix import read_matrix, write_matrix
from testbed.scenario.scenario import Scenario, load_scenario
from testbed.study import asked
from testbed.study.models import HostModel
from testbed.study.paper.drawn import Drawn, estimated
from testbed.study.paper.recorded import score_form
from testbed.study.paper.verdicts import Value
from testbed.study.record import Effort, Rows, record
from testbed.study.what_if.matrices import Wanted
from testbed.study.what_if.predict import WhatIf, what_if_grid

ROOT = Path(__file__).parents[3]
SCENARIOS = ROOT / "scenarios"
OTHER_CLOUD = "other-cloud"
"""The name of a recording's fourth model, if it has one."""


@dataclass(frozen=True)
class Ladder:
    """Models of rising quality that answer one data set.

    Attributes:
        name: for people, and for ``--ladders``.
        scenario: whose tiers' models it has.
        recording: of them, in the repository; without one they are recorded.
        rows: of the data set that are recorded, unless a call says otherwise; ``None`` for all.
        other_cloud: a model of the hub that takes the cloud's place in one of the claims.
        published: the data set whose figures in the paper stand beside it; ``None`` for all of its task.
    """

    name: str
    scenario: Path
    recording: Path | None = None
    rows: int | None = None
    other_cloud: str | None = None
    published: str | None = None


EMBEDDED = (
    Ladder("classification", SCENARIOS / "recorded.yaml", SCENARIOS / "recorded" / "rotten_tomatoes.parquet"),
    Ladder("translation", SCENARIOS / "translation.yaml", rows=1_000),
)
"""What the repository brings."""
_PAPER, _HUB_ROWS = SCENARIOS / "paper", 2_000
_DEBERTA = "Tomor0720/deberta-large-finetuned-sst2"
HUB = (
    *(
        Ladder(name, _PAPER / f"{name}.yaml", rows=_HUB_ROWS, other_cloud=_DEBERTA, published=dataset)
        for name, dataset in (
            ("imdb", "stanfordnlp/imdb"),
            ("yelp-polarity", "yelp_polarity"),
            ("sst2", "sst2"),
            ("rotten-tomatoes", "cornell-movie-review-data/rotten_tomatoes"),
            ("amazon-polarity", "amazon_polarity"),
        )
    ),
    *(
        Ladder(name, _PAPER / f"{name}.yaml", rows=_HUB_ROWS, published=name)
        for name in ("wmt19", "wmt16", "opus100")
    ),
)
"""The authors' models, which a model hub has."""


@dataclass(frozen=True)
class Step:
    """A tier's quality less that of the one below, over the same prompts."""

    lower: str
    upper: str
    value: Value

    @property
    def rises(self) -> bool:
        """Whether the whole interval lies above 0."""
        ends = self.value.estimate.interval
        return ends is not None and ends.low > 0

    @property
    def words(self) -> str:
        return f"{self.lower} to {self.upper} {self.value.words}"


@dataclass(frozen=True)
class Recorded:
    """A ladder with its recording: the tiers' models by tier, lowest first, and how quality rises."""

    ladder: Ladder
    matrix: Path
    tiers: Sequence[str]
    has_other_cloud: bool
    kind: str
    requests: int
    steps: Sequence[Step]

    @property
    def lacks(self) -> str:
        """Why it is no ladder that rises, in a sentence; empty if it is one."""
        flat = [step.words for step in self.steps if not step.rises]
        if not flat:
            return ""
        return (
            f"it takes a ladder that rises, and that of {self.ladder.name} does not by what "
            f"{self.requests:,} prompts show: {'; '.join(flat)}"
        )


def recorded(ladder: Ladder, folder: Path, limit: int | None, device: str, reporter: Reporter) -> Recorded:
    """A ladder's recording: the repository's, an earlier one of the same models and rows, or a new one.

    Args:
        folder: where a recording is put.
        limit: so many rows; of the repository's recordings, all.
        device: that infers: ``cpu`` or ``cuda``.

    Raises:
        TestbedError: the models or the data set cannot be had.
    """
    matrix = ladder.recording
    if matrix is None:
        matrix = folder / f"{ladder.name}.parquet"
        if not matrix.is_file():
            _record(ladder, matrix, limit or ladder.rows, device, reporter)
    return opened(ladder, matrix)


def opened(ladder: Ladder, path: Path) -> Recorded:
    """A recording as a ladder.

    Raises:
        TestbedError: it is none.
    """
    matrix = read_matrix(path)
    tiers = [name for name in matrix.models if name != OTHER_CLOUD]
    alone = what_if_grid([path], [f"{tiers[-1]}-only"], (), Wanted(tiers=",".join(tiers)), Quiet())
    kind = matrix.header.task.kind
    other = OTHER_CLOUD in matrix.models
    return Recorded(ladder, path, tiers, other, kind, len(matrix), steps_of(alone))


def steps_of(found: WhatIf) -> list[Step]:
    """How much better each tier of a what-if is than the one below."""
    drawn, prompts = Drawn(found), len(set(found.study.places.tolist()))
    qualities = [drawn.alone(level) for level in range(len(found.tiers))]
    form = score_form(found)
    return [
        Step(lower, upper, Value(estimated(better - worse, prompts), form, found.scorer.heading))
        for (lower, worse), (upper, better) in pairwise(zip(found.tiers, qualities, strict=True))
    ]


def _record(ladder: Ladder, path: Path, limit: int | None, device: str, reporter: Reporter) -> None:
    """Record a ladder's models into a file, or take what an earlier call recorded of the same."""
    scenario, effort = load_scenario(ladder.scenario), Effort(device=device)
    models = _models(ladder, scenario, effort, reporter)
    rows = asked.rows_of(scenario.task, "test", limit, scenario.seed)
    kept = cache_dir() / "recordings" / f"{ladder.name}-{_key(models, rows, effort)}.parquet"
    try:
        if kept.is_file():
            reporter.say(f"{ladder.name}: taking the recording of an earlier call, {kept}")
        else:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_matrix(record(models, rows, effort, reporter), kept)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, kept.read_bytes())
    except OSError as error:
        raise TestbedError(f"{error.filename or path}: cannot be written ({error.strerror})") from error


def _models(ladder: Ladder, scenario: Scenario, effort: Effort, reporter: Reporter) -> list[HostModel]:
    models = asked.models_of(scenario, effort, reporter.say)
    if ladder.other_cloud is None:
        return models
    named = f"{OTHER_CLOUD}={ladder.other_cloud}"
    return [*models, *asked.models_named([named], scenario.task, None, effort, reporter.say)]


def _key(models: Sequence[HostModel], rows: Rows, effort: Effort) -> str:
    """Alike for recordings of the same models and prompts on the same device."""
    told = [
        [model.name, model.word, model.revision, model.confidence, model.told_options()] for model in models
    ]
    prompts = [[example.row, example.text, example.reference] for example in rows.examples]
    elsewhere = [] if effort.device == Effort().device else [effort.device]
    text = json.dumps([rows.dataset, told, prompts, *elsewhere], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
