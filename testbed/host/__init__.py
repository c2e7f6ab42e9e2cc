"""This machine: what its kernel can do, and what is prepared on it once.

Imports errors, and nothing else of ours.
"""
