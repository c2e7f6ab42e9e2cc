"""Settings of all tests."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import settings

# A deadline for each example would judge how busy the machine is.
settings.register_profile("testbed", deadline=None)
settings.load_profile("testbed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tests of odd texts log some that are no Unicode, which no process can tell another as they are."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report
