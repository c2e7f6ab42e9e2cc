"""What is taken of a recorded trace, as columns of numbers."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from testbed.scenario.traces.scaling import Taken


@dataclass
class Columns:
    """The requests that are taken, column by column: 50 bytes for each.

    ``devices`` and ``datasets`` are places in the ground's lists; ``named`` has the devices of the values of
    a column, if one says who asks.
    """

    at_us: array[int] = field(default_factory=lambda: array("q"))
    input_tokens: array[int] = field(default_factory=lambda: array("q"))
    output_tokens: array[int] = field(default_factory=lambda: array("q"))
    devices: array[int] = field(default_factory=lambda: array("q"))
    row_bytes: array[int] = field(default_factory=lambda: array("q"))
    rows: array[int] = field(default_factory=lambda: array("q"))
    datasets: bytearray = field(default_factory=bytearray)
    named: dict[str, int] = field(default_factory=dict)
    rounded: int = 0
    most_rounded_us: float = 0.0

    def __len__(self) -> int:
        return len(self.at_us)

    def add(self, taken: Taken, device: int) -> None:
        exact_us = taken.at_ns / 1000
        us = round(exact_us)
        if exact_us != us:
            self.rounded += 1
            self.most_rounded_us = max(self.most_rounded_us, abs(exact_us - us))
        self.at_us.append(us)
        self.input_tokens.append(taken.input_tokens)
        self.devices.append(device)
        if taken.output_tokens is not None:
            self.output_tokens.append(taken.output_tokens)
