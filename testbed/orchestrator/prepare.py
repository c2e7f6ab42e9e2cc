"""All that a run needs from outside, before anything starts."""

from __future__ import annotations

from pathlib import Path

from testbed.console import Reporter
from testbed.host.image import ImageRef, ensure_image
from testbed.scenario.scenario import Scenario


def prepare(scenario: Scenario, reporter: Reporter) -> tuple[ImageRef, Path | None]:
    """The tier image, and the embedded models where a tier uses one; made the first time."""
    image = ensure_image(reporter.say)
    models = None
    if any(tier.model.kind == "embedded" for tier in scenario.tiers):
        from testbed.host.embedded.prepare import prepare as prepare_models

        models = prepare_models(reporter.say)
    return image, models
