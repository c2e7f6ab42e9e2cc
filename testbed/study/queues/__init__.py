"""What would wait where: a scenario's tiers and links as queues, at sizes that no machine can emulate.

:mod:`~testbed.study.queues.simulate` is where to begin. Decisions are those of the tiers' own policies, in
the order in which requests come to each node; services are as long as was recorded; links have the scenario's
rates and delays. docs/CITY.md has what it is held against.
"""
