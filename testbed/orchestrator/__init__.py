"""One run: the network up, each method replayed, everything noted, nothing left.

Imports all rooms above but report and validation, ``console``, ``tiers.protocol`` and ``tiers.config``.
"""
