"""Tests, in the rooms of what they test; the test of ``testbed/A/b.py`` is ``tests/A/test_b.py``."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = ROOT / "scenarios"
QUICKSTART = SCENARIOS / "quickstart.yaml"
