"""The page of commands is what the command line says of itself."""

from __future__ import annotations

from tests.commands.commands_page import KEPT, page


def test_the_kept_page_is_that_of_the_commands() -> None:
    """``python -m tests.commands.commands_page`` writes it anew."""
    assert KEPT.read_text() == page()
    assert "## testbed models record" in page()
