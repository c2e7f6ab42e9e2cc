"""From frames to bytes by cause.

Imports scenario (the topology), errors and ``tiers.protocol``; no third-party parser of packets.
"""
