"""Answers from earlier inferences, by a given service time: no torch, for large runs and for tests.

Options: ``{"kind": "recorded", "path": FILE or null, "default": {…} or null}``.

FILE is JSON lines in UTF-8 (a byte order mark is nothing), one for each prompt::

    {"prompt_sha256": HEX or "text": TEXT, "answer": TEXT, "confidence": 0…1, "service_ms": NUMBER}

``prompt_sha256`` is the SHA-256 of the prompt's UTF-8 bytes; ``service_ms`` may be left out where
``default`` has one. A prompt without a line is answered by ``default``::

    {"service_ms": NUMBER, "distribution": "fixed" or "exponential"}

Its answer is one of the task's labels and its confidence lies between 1/labels and 1, both drawn
from the SHA-256 of the tier's name and the prompt, so every run and every
kernel gets the same; with ``exponential``, ``service_ms`` is the mean, and the draw is of the same
kind. Without ``default`` a prompt that was not recorded is an error.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, Output
from tiers.parameters import File, Internal

Distribution = Literal["fixed", "exponential"]
DISTRIBUTION: Distribution = "fixed"
"""Of service times that have a mean, unless one is given."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of the file, or what ``default`` makes of a prompt."""

    answer: str
    confidence: float
    service_ms: float | None = None


class RecordedModel(Model):
    """Answers from a file of earlier inferences, or by ``default``; the module's text says how."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        path: Annotated[str, File("/recorded.jsonl")] | None = None,
        default: Annotated[Mapping[str, Any], Internal()] | None = None,
    ) -> None:
        super().__init__(config)
        if default is None and path is None:
            raise ConfigError("a recorded model needs a path, a default, or both")
        self._default_ms: float | None = None
        self._distribution: str = DISTRIBUTION
        if default is not None:
            self._default_ms = _milliseconds("default.service_ms", default.get("service_ms", 0))
            self._distribution = default.get("distribution", DISTRIBUTION)
            if self._distribution not in get_args(Distribution):
                known = ", ".join(get_args(Distribution))
                raise ConfigError(f"default.distribution must be one of {known}")
            if not config.labels:
                raise ConfigError("a recorded model's default needs the task's labels to answer with")
        self._recordings = {} if path is None else read_recordings(Path(path))

    def infer(self, text: str) -> Output:
        started = time.monotonic()
        recording = self._recordings.get(hashlib.sha256(text.encode()).digest())
        if recording is None:
            if self._default_ms is None:
                raise LookupError("no earlier inference of this prompt was recorded")
            recording = self._from_hash(text)
        service_ms = self._service_ms(text) if recording.service_ms is None else recording.service_ms
        time.sleep(max(0.0, service_ms / 1000 - (time.monotonic() - started)))
        return Output(recording.answer, confidence=recording.confidence)

    def _from_hash(self, text: str) -> Recording:
        labels = self.config.labels
        floor = 1 / len(labels)
        answer = labels[int(self._draw("answer", text) * len(labels))]
        return Recording(answer, floor + (1 - floor) * self._draw("confidence", text))

    def _service_ms(self, text: str) -> float:
        mean_ms = self._default_ms or 0.0
        if self._distribution == "fixed":
            return mean_ms
        return -mean_ms * math.log1p(-self._draw("service", text))

    def _draw(self, what: str, text: str) -> float:
        """A number in [0, 1) that depends on the prompt alone."""
        digest = hashlib.sha256(f"{what}\0{self.config.tier}\0{text}".encode()).digest()
        return (int.from_bytes(digest[:8], "big") >> 11) / 2**53

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "recordings": len(self._recordings)}


def read_recordings(path: Path) -> dict[bytes, Recording]:
    """Recordings by the SHA-256 of their prompts.

    Raises:
        ConfigError: the file cannot be read, or a line is not as the module's text says.
    """
    recordings: dict[bytes, Recording] = {}
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    key, recording = _recording(line, f"{path}, line {number}")
                    recordings[key] = recording
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read recorded inferences from {path}: {error}") from error
    return recordings


def _recording(line: str, where: str) -> tuple[bytes, Recording]:
    try:
        entry = json.loads(line)
        if "text" in entry:
            key = hashlib.sha256(entry["text"].encode()).digest()
        else:
            key = bytes.fromhex(entry["prompt_sha256"])
        answer, confidence = entry["answer"], float(entry["confidence"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where}: not a recorded inference ({type(error).__name__}: {error})") from error
    if not isinstance(answer, str) or len(key) != 32 or not 0 <= confidence <= 1:
        raise ConfigError(f"{where}: needs a SHA-256, an answer of text and a confidence in [0, 1]")
    service_ms = entry.get("service_ms")
    if service_ms is not None:
        service_ms = _milliseconds(f"{where}: service_ms", service_ms)
    return key, Recording(answer, confidence, service_ms)


def _milliseconds(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise ConfigError(f"{what} must be milliseconds, 0 or more, not {value!r}")
    return float(value)
