"""Checks that the emulator tells the truth on this host, each claim against a closed form or a known count.

Closed forms (:mod:`~testbed.validation.queueing`, :mod:`~testbed.validation.slow_start`,
:mod:`testbed.scenario.expected`) stand apart from how a thing is measured. A check asks a :class:`Bench` for
a link of some shape, sends known traffic over it, and yields figures. :mod:`~testbed.validation.validate`
runs the checks. Imports every room except report; only the command line imports it.
"""
