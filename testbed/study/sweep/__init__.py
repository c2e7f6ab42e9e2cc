"""Sweeps: a scenario run at every combination of values, each with several seeds, into one table."""
