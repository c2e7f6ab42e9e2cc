"""Keep or offload: a module for each policy, named like it, with ``_`` for ``-`` (arXiv:2505.16502).

To add one, derive from :class:`Policy` in a new module here, or in a file of your own that the scenario names
as ``file.py:Class``. The parameters of its constructor become keys of the scenario, with their types, bounds
and defaults (:mod:`tiers.parameters`).
"""

from tiers.policies.base import (
    KEEP,
    POLICIES,
    Decision,
    Place,
    Policy,
    Request,
    find_policy,
    make_policy,
    plain_decision,
    tier_of,
)

__all__ = [
    "KEEP",
    "POLICIES",
    "Decision",
    "Place",
    "Policy",
    "Request",
    "find_policy",
    "make_policy",
    "plain_decision",
    "tier_of",
]
