"""What methods would do, from recorded answers: no network, and the decisions of the tiers' own policies.

:mod:`~testbed.study.what_if.predict` is where to begin. A *study* is who asks what, and what each tier's
model says to it; a *point* is a method with its parameters, evaluated over the study.
"""
