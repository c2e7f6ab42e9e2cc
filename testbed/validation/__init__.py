"""Does the emulator tell the truth here: one small check for each claim, held against a closed form.

What must come out (:mod:`~testbed.validation.queueing`, :mod:`~testbed.validation.slow_start`,
:mod:`testbed.scenario.expected`) knows nothing of how it is measured; a check asks a :class:`Bench` for a
link of some shape, sends known traffic over it, and yields figures. :mod:`~testbed.validation.validate` runs
them.
"""
