"""The process in which all WAN links of a run are: for each direction bottleneck, wire and way.

``core`` is one direction in virtual time, without socket or clock; ``fates`` says what becomes of a frame on
the way; ``loop`` runs both on packet sockets, in a process of its own; ``client`` is what a run asks of it.
"""
