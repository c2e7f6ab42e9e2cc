"""The artifact appendix is that of the list of claims."""

from __future__ import annotations

from testbed.study.paper.claims import CLAIMS
from tests.study.paper.appendix import appendix, kept


def test_the_kept_appendix_is_that_of_the_claims() -> None:
    """``python -m tests.study.paper.appendix`` writes it anew."""
    _, section, _ = kept()
    assert section.strip() == appendix().strip()
    assert section.count("\n### ") == len(CLAIMS) == len({claim.name for claim in CLAIMS})
