"""The process that emulates all WAN links of a run: for each direction bottleneck, wire and way.

``core`` is a direction in virtual time, without sockets and without a clock; ``fates`` decides what becomes
of a frame on the way; ``loop`` runs both on packet sockets, in another process; ``client`` is a run's side.
"""
