"""An answer matrix in memory: models by name, each with lists that have an entry for each row."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from testbed.scenario.matrix.header import Header
from tiers.confidence import confidence_in, make_confidence
from tiers.models.base import Output
from tiers.plain import told


def prompt_key(prompt: str) -> bytes:
    """What a prompt is known by: the SHA-256 of its UTF-8, after cleaning (32 bytes)."""
    return hashlib.sha256(prompt.encode()).digest()


@dataclass(frozen=True)
class ModelAnswers:
    """What one model put out for each row of the matrix, in the order of ``Matrix.rows``.

    ``logits`` are a classifier's, one for each of the task's labels; ``token_logprobs`` natural logarithms,
    one for each produced token; ``confidence`` stands where an engine gave neither. ``service_ms`` is
    ``None`` for rows that were not timed.
    """

    name: str
    answers: Sequence[str]
    logits: Sequence[Sequence[float] | None]
    token_logprobs: Sequence[Sequence[float] | None]
    confidence: Sequence[float | None]
    prompt_tokens: Sequence[int | None]
    completion_tokens: Sequence[int | None]
    cut_off: Sequence[bool]
    service_ms: Sequence[float | None]

    def outputs(self) -> Iterator[Output]:
        """Each row's answer as the model gave it, for any confidence to be computed from."""
        columns = (
            self.answers,
            self.logits,
            self.token_logprobs,
            self.confidence,
            self.prompt_tokens,
            self.completion_tokens,
            self.cut_off,
        )
        for row in zip(*columns, strict=True):
            yield Output(*row)

    def confidences(self, name: str, places: Container[int] | None = None) -> NDArray[np.float64]:
        """The confidence of that name of each row's answer, in [0, 1], exactly as a tier computes it.

        Of the rows at these ``places`` alone, if they are given.

        Raises:
            ConfigError: there is no such confidence.
            ValueError: it needs what the model does not put out, or is a class of the user's that fails.
        """
        measure = make_confidence(name)
        asked = (output for at, output in enumerate(self.outputs()) if places is None or at in places)
        try:
            return np.array([confidence_in(output, measure) for output in asked], dtype=np.float64)
        except ValueError:
            raise
        except (Exception, SystemExit) as error:  # whatever a class from outside the repository raises
            raise ValueError(told(error)) from error


@dataclass(frozen=True)
class Matrix:
    """What each model answered to each of these rows of a data set; every model has every row.

    ``rows`` ascend. ``prompt_sha256`` and ``prompt_bytes`` are of the cleaned prompts in UTF-8;
    ``references`` are ``None`` where the task has none.
    """

    header: Header
    rows: NDArray[np.int64]
    prompt_sha256: Sequence[bytes]
    prompt_bytes: NDArray[np.int64]
    references: Sequence[str | None]
    models: Mapping[str, ModelAnswers]

    def __len__(self) -> int:
        return len(self.rows)
