"""This machine: what its kernel can, and what is made ready on it once.

Imports errors, and nothing else of ours.
"""
