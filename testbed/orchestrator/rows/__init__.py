"""From observations to the rows of a run's tables."""
