"""What a run is to be, on paper: checked data, nothing started.

Imports host (data sets and names of models) and errors; of ``tiers`` the registries and the protocol.
"""
