"""Plays a scenario's events on a network that is up."""
