"""What answers a prompt: a module for each kind of model, named like it.

To add one, derive from :class:`Model` in a new module here, or in a file of your own that the scenario names
as ``file.py:Class``. The options that its constructor takes by name become keys of the scenario, with their
types and bounds (:mod:`tiers.parameters`). A module imports torch and the like only when a model is made.
"""

from tiers.models.base import KINDS, Model, ModelConfig, Output, load_model

__all__ = ["KINDS", "Model", "ModelConfig", "Output", "load_model"]
