"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A deadline for each example would judge how busy the machine is.
settings.register_profile("testbed", deadline=None)
settings.load_profile("testbed")
