"""The paper's claims, one by one: what is measured, by what it is judged, and what was published.

Claims are those of "Recursive Offloading for LLM Serving in Multi-tier Networks" (arXiv:2505.16502), and
some that it has not. The criteria are the same for every ladder.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from testbed.results.run import Run
from testbed.study.paper import recorded, wire
from testbed.study.paper.published import by_dataset, longer
from testbed.study.paper.recorded import Values
from testbed.study.paper.verdicts import Condition
from testbed.study.what_if.predict import WhatIf

MARGIN = {"accuracy": 0.02, "bleu": 1.0}
"""Quality that is comparable is at most so much lower; the paper's own gaps are 0.005 of accuracy."""
FLAT = {"accuracy": 0.01, "bleu": 0.5}
"""Quality that does not depend on a setting changes by less."""
SCORE_UNITS = {"accuracy": "accuracy", "bleu": "BLEU"}
_BETAS = "beta=0.05,0.1:0.9:0.1"
_RIVALS = (
    "beta=0.05,0.1:0.9:0.1",
    "share=0.05,0.1:0.9:0.1",
    "thresholds=" + ",".join(
        f"{{device: {at}, edge: {at}}}"
        for at in (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.99)
    ),
)  # fmt: skip
"""CasServe's one threshold for both tiers, from where little goes up to where nearly all does."""


@dataclass(frozen=True)
class Grid:
    """Evidence by ``testbed what-if`` over a ladder's recording.

    Attributes:
        policies: that decide.
        settings: as ``--set`` has them.
        measure: from the what-if to figures.
        other_cloud: whether another model takes the cloud's place.
    """

    policies: Sequence[str]
    settings: Sequence[str]
    measure: Callable[[WhatIf], Values]
    other_cloud: bool = False

    def by_hand(self, matrix: str, tiers: str) -> str:
        """The testbed's command for a recording and its tiers."""
        settings = [shlex.quote(setting) for setting in self.settings]
        words = [f"testbed what-if {matrix}", f"--policy {','.join(self.policies)}"]
        return " ".join([*words, *(f"--set {setting}" for setting in settings), f"--tiers {tiers}"])


@dataclass(frozen=True)
class OnWire:
    """Evidence by runs on the emulated network: ``kind`` is the sweep's scenario."""

    kind: str
    measure: Callable[[Sequence[Run]], Values]

    def by_hand(self, scenario: str, given: Sequence[str]) -> str:
        """The testbed's command for a scenario, which the table's directory has."""
        return " ".join([f"testbed sweep {scenario}", *(f"--set {each}" for each in given)])


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        name: for ``--claims``.
        says: the claim in a sentence.
        conditions: that hold if it is reproduced, by the ladder's score: ``accuracy`` or ``bleu``.
        published: what the paper has of it, by a data set or by ``classification`` and ``translation``.
        mark: of what was published: ``note`` is from others' notes of the paper, not seen in it; ``ours`` is
            derived from such notes; ``-`` is not known.
        rising: whether it means something only of a ladder that rises.
        ours: whether the paper has it not.
    """

    name: str
    says: str
    evidence: Grid | OnWire
    conditions: Callable[[str], Sequence[Condition]]
    published: Mapping[str, str] = field(default_factory=dict)
    mark: str = "-"
    rising: bool = True
    ours: bool = False

    def published_of(self, dataset: str | None, kind: str) -> str:
        """What the paper has of a data set; of a kind of task, where no set is named or all have the same."""
        of_sets = self.published.keys() - {"classification", "translation"}
        return self.published.get(dataset if dataset and of_sets else kind, "")


def _quality(figure: str, score: str, above: float = 0, below: float | None = None) -> Condition:
    """A condition of a difference in quality."""
    return Condition(figure, above, below, SCORE_UNITS[score])


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "below-half",
        "RecServe with β = 0.3 sends less than half of what cloud-only does, at comparable quality.",
        Grid(["recserve"], ["beta=0.3"], recorded.against_cloud),
        lambda score: [
            Condition("burden", below=0.5, unit=recorded.OF_CLOUD),
            _quality("difference", score, above=-MARGIN[score]),
        ],
        by_dataset(("recserve", 0.3), ("cloud-only", None), least=1),
        "note",
    ),
    Claim(
        "better-than-casserve",
        "At equal bytes (20 % of cloud-only's on all links) RecServe is better than CasServe with one fixed "
        "threshold for both tiers, whichever it is.",
        Grid(["recserve", "casserve", "colserve"], _RIVALS, recorded.better_than("casserve")),
        lambda score: [_quality("difference", score)],
        by_dataset(("recserve", 0.3), ("casserve", None)),
        "note",
    ),
    Claim(
        "better-than-colserve",
        "At equal bytes (20 % of cloud-only's on all links) RecServe is better than ColServe, which chooses "
        "by lot.",
        Grid(["recserve", "casserve", "colserve"], _RIVALS, recorded.better_than("colserve")),
        lambda score: [_quality("difference", score)],
        by_dataset(("recserve", 0.3), ("colserve", None)),
        "note",
    ),
    Claim(
        "beta",
        "β sets the trade: from 0.1 by 0.3 to 0.5 the burden rises at each step, and quality over all.",
        Grid(["recserve"], ["beta=0.1,0.3,0.5"], recorded.by_beta),
        lambda score: [
            _quality("quality 0.1 to 0.5", score),
            Condition("burden 0.1 to 0.3", above=0, unit=recorded.OF_CLOUD),
            Condition("burden 0.3 to 0.5", above=0, unit=recorded.OF_CLOUD),
        ],
        by_dataset(("recserve", 0.1), ("recserve", 0.3), ("recserve", 0.5)),
        "note",
    ),
    Claim(
        "window",
        "Quality does not depend on the window from N = 300 on (β = 0.3; beside N = 10,000).",
        Grid(["recserve"], ["beta=0.3", "window=30,100,300,1000,10000"], recorded.by_window),
        lambda score: [
            _quality(f"N = {window}", score, above=-FLAT[score], below=FLAT[score]) for window in (300, 1000)
        ],
        {"classification": "flat from N ≈ 300", "translation": "flat from N ≈ 300"},
        "note",
    ),
    Claim(
        "cloud-model",
        "With another model in the cloud (if no fourth model was recorded: two tiers, the device and the "
        "edge's model as cloud) RecServe (β = 0.3) still sends less than half at comparable quality, and is "
        "better than lots at equal share.",
        Grid(["recserve"], ["beta=0.3"], recorded.swapped, other_cloud=True),
        lambda score: [
            Condition("burden", below=0.5, unit=recorded.OF_CLOUD),
            _quality("difference", score, above=-MARGIN[score]),
            _quality("over lots", score),
        ],
    ),
    Claim(
        "unreachable",
        "While a tier cannot be reached requests are answered all the same (over 98 % of them): past the "
        "tier, or by the best answer so far.",
        OnWire(wire.UNREACHABLE, wire.answered),
        lambda _: [
            Condition("answered", above=0.98, unit="of requests"),
            Condition("past the tier", above=0, unit="requests", is_counted=True),
            Condition("best so far", above=0, unit="requests", is_counted=True),
        ],
        rising=False,
    ),
    Claim(
        "budget",
        "Under a budget of 30 % of the prompt bytes on each hop, the lowest hop keeps to it (±0.016), and "
        "the choice is better than lots at equal share.",
        Grid(["budget"], ["share=0.3", "of=bytes"], recorded.within_budget),
        lambda score: [
            _quality("over lots", score),
            Condition("bytes up", above=0.284, below=0.316, unit="of prompt bytes", is_counted=True),
        ],
    ),
    Claim(
        "recursion-pays",
        "Recursion costs less than asking the cloud directly as long as β(1 + β) < 1, which is up to "
        "β = 0.618 (±0.02).",
        Grid(["recserve"], [_BETAS], recorded.pays_below),
        lambda _: [Condition("β", above=0.598, below=0.638)],
        {"classification": "0.618 in theory", "translation": "0.618 in theory"},
        "note",
        rising=False,
    ),
    Claim(
        "recursion-or-one-step",
        "At equal bytes (20 % of cloud-only's on all links) deciding at each tier is better than deciding at "
        "the device alone, from where the edge only relays.",
        Grid(["recserve"], [_BETAS, "relay=[],[edge]"], recorded.recursion_over_one_step),
        lambda score: [_quality("difference", score)],
    ),
    Claim(
        "length-effect",
        "What is sent up is as long as the mean, which β(1 + β) supposes (β = 0.3; E[bytes | sent up] / "
        "E[bytes] by hop, ±0.05).",
        Grid(["recserve"], ["beta=0.3"], recorded.length_effect),
        lambda _: [
            Condition(f"hop {hop}", above=0.95, below=1.05, unit=recorded.OF_MEAN) for hop in (1, 2)
        ],
        longer(),
        "ours",
        rising=False,
        ours=True,
    ),
    Claim(
        "bytes-on-the-wire",
        "What crosses a link is what the paper's formula counts, prompt and answer (RecServe, β = 0.3; "
        "frame bytes over half the formula's bytes, since it counts each byte at both ends of a hop, ±10 %).",
        OnWire(wire.SWEPT, wire.formula_and_wire),
        lambda _: [Condition("frames over formula", above=0.9, below=1.1)],
        rising=False,
        ours=True,
    ),
    Claim(
        "savings-on-the-wire",
        "What is saved in texts is saved in frames: RecServe's share of cloud-only's bytes on the same hops "
        "(β = 0.3) is the same in both (±0.05).",
        OnWire(wire.SWEPT, wire.savings),
        lambda _: [Condition("difference", above=-0.05, below=0.05, unit=recorded.OF_CLOUD)],
        rising=False,
        ours=True,
    ),
    Claim(
        "predicted",
        "What the recordings let expect is what crosses the wire: each count of prompt and answer bytes, by "
        "trace, method and hop, is equal to the byte.",
        OnWire(wire.SWEPT, wire.predicted),
        lambda _: [
            Condition("counts that differ", below=1, is_counted=True),
            Condition("requests served elsewhere", below=1, is_counted=True),
            Condition("bytes in them", above=0, unit="B", is_counted=True),
        ],
        rising=False,
        ours=True,
    ),
)  # fmt: skip
"""In the order of the table."""
