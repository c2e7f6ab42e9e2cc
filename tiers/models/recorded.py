"""Answers from earlier inferences, by a given service time: no torch, for large runs and for tests.

Options: ``{"kind": "recorded", "path": FILE or null, "rows": ROWS or null, "default": {…} or null, "missing":
"made-up" or null}``. ROWS is what a run extracts from an answer matrix (:mod:`tiers.models.rows`).

FILE is JSON lines in UTF-8 (a byte order mark is skipped), one for each prompt::

    {"text": TEXT or "prompt_sha256": HEX, "answer": TEXT, "confidence": 0…1, "service_ms": NUMBER}

``text`` is the prompt, cleaned or as the data set has it: it is cleaned as prompts are before they are sent
(:mod:`tiers.prompts`). ``prompt_sha256`` is the SHA-256 of the cleaned prompt's UTF-8 bytes. ``answer`` is
one of the task's labels, in any case, or ``LABEL_0``, ``LABEL_1``, … throughout the file. ``service_ms``
may be left out where ``default`` has one. Two lines of one prompt must say the same; if their service times
differ, the first line's stands.

``default`` has the service time of lines that have none, and of answers that are made up::

    {"service_ms": NUMBER, "distribution": "fixed" or "exponential"}

Answers are made up for every prompt where there is neither FILE nor ROWS, and with ``missing`` for prompts
that it lacks. Such an answer is one of the task's labels and its confidence lies between 1/labels and 1, both
drawn from the SHA-256 of the tier's name and the prompt, so every run and every kernel gets the same; with
``exponential``, ``service_ms`` is the mean, and the draw is of the same kind. Otherwise a prompt that was not
recorded is an error.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args

from tiers import plain
from tiers.errors import ConfigError
from tiers.models.base import Model, ModelConfig, Output
from tiers.models.checkpoint.labels import spell
from tiers.parameters import File, Internal, Like
from tiers.prompts import clean

if TYPE_CHECKING:
    from tiers.models.rows import RecordedRows

Distribution = Literal["fixed", "exponential"]
DISTRIBUTION: Distribution = "fixed"
"""Of service times that have a mean, unless one is given."""
MAX_LINE_BYTES = 4 << 20
MAX_LINES = 1_000_000


@dataclass(frozen=True, slots=True)
class Recording:
    """One line of the file, or what ``default`` makes of a prompt."""

    answer: str
    confidence: float
    service_ms: float | None = None


@dataclass(frozen=True)
class Recordings:
    """A file's recordings by the SHA-256 of their cleaned prompts.

    ``by_number``: its answers were ``LABEL_0``, ``LABEL_1``, …. ``unlike_times``: how many prompts have
    several lines with other service times, of which the first line's stands.
    """

    by_prompt: Mapping[bytes, Recording]
    by_number: bool = False
    unlike_times: int = 0

    def of(self, text: str) -> Recording | None:
        """The recording of a prompt, cleaned or not."""
        return self.by_prompt.get(_key(clean(text)))


class RecordedModel(Model):
    """Answers from a file of earlier inferences, or by ``default``; the module's text says how."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        path: Annotated[str, File("/recorded.jsonl")] | None = None,
        rows: Annotated[str, File("/recorded.sqlite"), Internal()] | None = None,
        default: Annotated[Mapping[str, Any], Internal()] | None = None,
        missing: Annotated[str, Like("made-up", "made-up")] | None = None,
    ) -> None:
        super().__init__(config)
        if path is not None and rows is not None:
            raise ConfigError("a recorded model has a path or rows, not both")
        if default is None and path is None and rows is None:
            raise ConfigError("a recorded model needs a path, a default, or both")
        if default is None and missing is not None:
            raise ConfigError("missing: answers that are made up need a default")
        self._default_ms = 0.0
        self._distribution: str = DISTRIBUTION
        if default is not None:
            self._default_ms = _milliseconds("default.service_ms", default.get("service_ms", 0))
            self._distribution = default.get("distribution", DISTRIBUTION)
            if self._distribution not in get_args(Distribution):
                known = ", ".join(get_args(Distribution))
                raise ConfigError(f"default.distribution must be one of {known}")
        self._makes_up = (path is None and rows is None) or missing is not None
        if self._makes_up and not config.labels:
            raise ConfigError("a recorded model's default needs the task's labels to answer with")
        self._recordings = Recordings({}) if path is None else read_recordings(Path(path), config.labels)
        self._rows: RecordedRows | None = None
        if rows is not None:
            self._rows = _open_rows(rows)
            self.confidence, self.tokens = self._rows.about["confidence"], self._rows.about["tokens"]

    def infer(self, text: str) -> Output:
        started = time.monotonic()
        output, service_ms = self._recorded(text)
        if service_ms is None:
            service_ms = drawn_ms(self._default_ms, self._distribution, self.config.tier, text)
        time.sleep(max(0.0, service_ms / 1000 - (time.monotonic() - started)))
        return output

    def _recorded(self, text: str) -> tuple[Output, float | None]:
        if self._rows is not None and (row := self._rows.of(text)) is not None:
            return row
        recording = self._recordings.of(text)
        if recording is not None:
            return Output(recording.answer, confidence=recording.confidence), recording.service_ms
        if not self._makes_up:
            raise LookupError("no earlier inference of this prompt was recorded")
        recording = self._from_hash(text)
        return Output(recording.answer, confidence=recording.confidence, made_up=True), None

    def _from_hash(self, text: str) -> Recording:
        labels = self.config.labels
        floor = 1 / len(labels)
        tier = self.config.tier
        answer = labels[int(_draw("answer", tier, text) * len(labels))]
        return Recording(answer, floor + (1 - floor) * _draw("confidence", tier, text))

    def describe(self) -> dict[str, Any]:
        if self._rows is not None:
            return {**super().describe(), "recordings": self._rows.count, "recorded": self._rows.about}
        known = self._recordings
        return {**super().describe(), "recordings": len(known.by_prompt), "labels_by_number": known.by_number}


def drawn_ms(mean_ms: float, distribution: str, tier: str, text: str) -> float:
    """The service time of a prompt at a tier, where the scenario gives one for all."""
    if distribution == "fixed":
        return mean_ms
    return -mean_ms * math.log1p(-_draw("service", tier, text))


def _draw(what: str, tier: str, text: str) -> float:
    """A number in [0, 1) that depends on the tier and the prompt alone."""
    digest = hashlib.sha256(f"{what}\0{tier}\0{text}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _open_rows(path: str) -> RecordedRows:
    from tiers.models.rows import RecordedRows  # late: other tiers need no database

    return RecordedRows(Path(path))


class _Line(NamedTuple):
    """One line of the file; ``key`` is ``None`` for a text of which cleaning leaves nothing."""

    number: int
    key: bytes | None
    recording: Recording


def read_recordings(path: Path, labels: Sequence[str]) -> Recordings:
    """Read a file of recordings, with the answers in the spelling of the task's ``labels``, if it has any.

    Raises:
        ConfigError: the file cannot be read, a line is not as the module's text says, answers are none of
            the labels, or lines of one prompt say different things.
    """
    try:
        lines = list(_lines(path))
    except OSError as error:
        raise ConfigError(f"cannot read recorded inferences from {path}: {error}") from error
    try:
        spelling = spell(list(dict.fromkeys(line.recording.answer for line in lines)), labels)
    except ConfigError as error:
        raise ConfigError(f"{path} {error}; write those") from None
    firsts: dict[bytes, _Line] = {}
    unlike_times = set()
    for number, key, recording in lines:
        if key is None:  # no prompt is empty
            continue
        spelt = Recording(spelling.labels[recording.answer], recording.confidence, recording.service_ms)
        first = firsts.setdefault(key, _Line(number, key, spelt))
        if (spelt.answer, spelt.confidence) != (first.recording.answer, first.recording.confidence):
            raise ConfigError(
                f"{path}, line {number}: its prompt, once cleaned, is that of line {first.number}, and the "
                f"answers differ ({_shown(first.recording)}, then {_shown(spelt)}); keep one of the two"
            )
        if spelt.service_ms != first.recording.service_ms:
            unlike_times.add(key)
    by_prompt = {key: line.recording for key, line in firsts.items()}
    return Recordings(by_prompt, spelling.by_number, len(unlike_times))


def _shown(recording: Recording) -> str:
    return f"{recording.answer[:40]!r} at {recording.confidence}"


def _lines(path: Path) -> Iterator[_Line]:
    with path.open("rb") as file:
        raw_lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
        for number, raw in enumerate(raw_lines, start=1):
            where = f"{path}, line {number}"
            if len(raw) > MAX_LINE_BYTES:
                raise ConfigError(
                    f"{where}: is longer than {MAX_LINE_BYTES >> 20} MiB; write one prompt a line"
                )
            if number > MAX_LINES:
                raise ConfigError(
                    f"{path}: has more than {MAX_LINES} lines; leave out what no trace asks for"
                )
            line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
            if line.strip():
                yield _Line(number, *_recording(line, where))


def _recording(line: bytes, where: str) -> tuple[bytes | None, Recording]:
    try:
        entry = json.loads(line.decode())
        key = _key_of(entry)
        answer, confidence = entry["answer"], entry["confidence"]
        if isinstance(answer, str):
            plain.text(answer, "answer")
        confidence = math.nan if isinstance(confidence, bool) else float(confidence)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{where}: not a recorded inference ({type(error).__name__}: {error})") from error
    if not isinstance(answer, str) or (key is not None and len(key) != 32) or not 0 <= confidence <= 1:
        raise ConfigError(f"{where}: needs a SHA-256, an answer of text and a confidence in [0, 1]")
    if odd := next((key for key in entry if key.startswith("service") and key != "service_ms"), None):
        raise ConfigError(f"{where}: unknown key {odd!r}; write service_ms, in milliseconds")
    service_ms = entry.get("service_ms")
    if service_ms is not None:
        service_ms = _milliseconds(f"{where}: service_ms", service_ms)
    return key, Recording(answer, confidence, service_ms)


def _key_of(entry: Mapping[str, Any]) -> bytes | None:
    """What a line's prompt is found by; ``None`` if cleaning leaves nothing of it."""
    if "text" not in entry:
        return bytes.fromhex(entry["prompt_sha256"])
    text = clean(entry["text"])
    return _key(text) if text else None


def _key(cleaned: str) -> bytes:
    return hashlib.sha256(cleaned.encode()).digest()


def _milliseconds(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e7:
        raise ConfigError(f"{what} must be milliseconds, 0 or more, not {value!r}")
    return float(value)
