"""What a node recorded of a request, and the method that it did so under, as the audit's rules take it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from testbed.results.calibration import Recorded, certified_threshold, frozen_quantiles
from testbed.results.columns import Row
from testbed.scenario.sections.methods import Method
from testbed.scenario.topology import Topology


@dataclass(frozen=True)
class Case:
    """A method of a run, and what its rule may need beside the steps."""

    method: Method
    topology: Topology
    seed: int
    calibration: Recorded | None = None
    answers: Mapping[str, Mapping[str, str]] | None = None
    """By tier and request id, in a run with a method that knows them beforehand."""
    right: Callable[[str, str], bool] | None = None
    """Whether an answer is right, given the reference."""

    @cached_property
    def inferring(self) -> list[str]:
        """The tiers that infer, lowest first; the last one is the top."""
        tiers = {node.tier: node.level for node in self.topology.nodes}
        return [tier for tier in sorted(tiers, key=tiers.__getitem__) if tier not in self.method.relay]

    def is_right(self, answer: str | None, reference: str | None) -> bool:
        """Whether an answer is right by the task's rule; none is if there is no answer, or no such rule."""
        if answer is None or reference is None or self.right is None:
            return False
        return self.right(answer, reference)

    def tier(self, step: Step) -> str:
        return self.topology.node(step.node).tier

    def relays(self, step: Step) -> bool:
        """Whether the step's tier is one that does not infer under this method."""
        return self.tier(step) in self.method.relay

    def parameter(self, name: str, step: Step) -> Any:
        """The method's parameter for the step's tier, where it may be given by tier."""
        return self.method.of_tier(name, self.tier(step))

    @cached_property
    def quantiles(self) -> Mapping[str, tuple[float, list[float]]]:
        """By deciding tier what calibration froze: the threshold, and the confidences that it comes from."""
        assert self.calibration is not None
        share = self.method.parameters.get("calibrate", {}).get("share")
        return frozen_quantiles(
            self.calibration,
            self.inferring[:-1],
            lambda tier: self.method.of_tier("beta", tier) if share is None else share,
        )

    @cached_property
    def thresholds(self) -> Mapping[str, float | None]:
        """The fixed threshold of each deciding tier: the scenario's, or what calibration gives."""
        parameters = self.method.parameters
        if "thresholds" in parameters:
            given: Mapping[str, float | None] = parameters["thresholds"]
            return given
        asked = parameters.get("calibrate", {})
        if "accuracy" not in asked:
            return {tier: threshold for tier, (threshold, _) in self.quantiles.items()}
        assert self.calibration is not None
        shown = certified_threshold(self.calibration, self.inferring, asked["accuracy"], asked["confidence"])
        return dict.fromkeys(self.inferring[:-1], shown)


class Step:
    """What one node recorded of one request.

    ``undecided`` says that the node made no inference, so that there was no decision: the deadline passed in
    the queue, or the model was not ready or failed. Such a node is the last on the path, has no answer and no
    value in a window, and whoever asked it got an error, or asked the node above it instead.
    """

    __slots__ = (
        "answer", "confidence", "kept", "length", "life", "node", "prompt_bytes", "reference", "request",
        "sent_at_s", "sequence", "threshold", "top", "undecided",
    )  # fmt: skip

    def __init__(self, row: Row, at: int, top: bool) -> None:
        self.request: str = row["request_id"]
        self.sent_at_s: float = row["sent_at_s"]
        self.node: str = row["path"][at]
        self.confidence: float | None = row["confidences"][at]
        self.threshold: float | None = row["thresholds"][at]
        self.sequence: int | None = row["window_seqs"][at]
        self.length: int | None = row["window_lengths"][at]
        self.kept: bool = row["kept"][at]
        self.answer: str | None = row["node_answers"][at]
        self.reference: str | None = row["reference"]
        self.prompt_bytes: int | None = row.get("prompt_bytes")
        self.life: int = row["lives"][at] if row.get("lives") else 0
        self.top = top
        skipped = at > 0 and bool(row.get("skipped")) and row["skipped"][at - 1] is not None
        last = at == len(row["path"]) - 1 or skipped
        failed = row["outcome"] != "answered" or (at > 0 and row["forward_errors"][at - 1] is not None)
        failed = failed or skipped
        decided = (self.confidence, self.threshold, self.sequence, self.length, row["node_answers"][at])
        self.undecided = last and failed and not self.kept and decided == (None,) * len(decided)
