"""Requests sent as the trace has them, and what came of each."""
