"""Measures links, and compares each with its scenario."""
