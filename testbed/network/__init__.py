"""The emulated WAN while it lasts: nodes, links, the link process, and measurements of them.

Imports scenario, host and errors: it carries frames, and what is in them is not its business.
"""
