"""Sends the requests of a trace, and records the outcome of each."""
