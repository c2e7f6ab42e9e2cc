"""A module for each key of a scenario, as pydantic models."""
