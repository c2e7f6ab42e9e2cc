"""``make paper``: the paper's claims one by one, each with its command, its figures and its verdict.

The list is in :mod:`testbed.study.paper.claims`. It is held against *ladders*: models that answer one data
set, of which each is better than the one below.
"""
