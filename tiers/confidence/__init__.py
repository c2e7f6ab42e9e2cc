"""How sure a model is of its answer, as a number in [0, 1]: a module for each way to tell (arXiv:2505.16502).

A confidence says nothing of what becomes of the answer: that is the policy's. Arithmetic is float64. To add
one, derive from :class:`Confidence` in a new module here, or in a file of your own that the scenario names as
``file.py:Class``.
"""

from tiers.confidence.base import CONFIDENCES, Confidence, confidence_in, make_confidence

__all__ = ["CONFIDENCES", "Confidence", "confidence_in", "make_confidence"]
