"""Prompts with references, and requests."""
