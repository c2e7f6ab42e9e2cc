"""Turns observations into the rows of a run's tables."""
