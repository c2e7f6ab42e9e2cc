"""What the sections of all kinds of models have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ValidationInfo, field_validator

from testbed.scenario.reading.mistakes import mistake, nearest
from testbed.scenario.sections.section import CLASS_IN_FILE, Section, find_external, one_of
from tiers.confidence import CONFIDENCES
from tiers.models import KINDS
from tiers.parameters import File, mark, parameters
from tiers.plugins import external


class TierModel(Section):
    """A model. The keys beside these are the options of its kind's constructor (:mod:`tiers.models`).

    ``confidence`` names what is computed from the model's output, where its task's own will not do.
    """

    confidence: Annotated[str, one_of(CONFIDENCES.names, CLASS_IN_FILE)] | None = None
    kind: str

    @field_validator("confidence")
    @classmethod
    def _known_confidence(cls, confidence: str | None, info: ValidationInfo) -> str | None:
        if confidence is None or confidence in CONFIDENCES:
            return confidence
        if found := find_external(confidence, info.context):
            return found
        known = [*CONFIDENCES.names, "FILE.py:CLASS"]
        raise mistake(f"no confidence {confidence!r}; {nearest(confidence, known)}")

    @property
    def options(self) -> dict[str, Any]:
        """What the tier's configuration says of the model beside its kind; paths are the host's."""
        return self.model_dump(mode="json", exclude={"kind"}, exclude_none=True)

    @property
    def told_as(self) -> str:
        """The model in a line about its tier: its kind, and where it is or what it is called."""
        place = next((value for key in ("hub", "path", "url") if (value := getattr(self, key, None))), "")
        return f"{self.kind} {place}".rstrip()

    @property
    def served_as(self) -> str:
        """The kind of model that a node is told."""
        return self.kind

    @property
    def warms_up(self) -> bool:
        """Whether its first inferences are slower than those that follow."""
        return True

    @property
    def files(self) -> dict[str, str]:
        """By option, where a container has the file or the directory that the option names."""
        if external(self.kind):
            return {}
        options = parameters(KINDS.find(self.served_as)).values()
        return {option.name: file.inside for option in options if (file := mark(option, File))}

    @property
    def needs_backend(self) -> bool:
        """Whether the tier asks an engine over a backend link."""
        return external(self.kind) is None and KINDS.find(self.served_as).needs_backend
