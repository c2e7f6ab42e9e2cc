"""A trace in 18 bytes a request, where the requests themselves would be 170: for traces of a million."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from testbed.scenario.workload.trace_file import Request


def numbered_id(number: int) -> str:
    """The id of the request of that number, from 1, of a trace that is drawn."""
    return f"r{number:06d}"


@dataclass(frozen=True)
class CompactTrace(Sequence[Request]):
    """Requests that are made when they are looked at; equal to those that it was made :meth:`of`.

    Attributes:
        times_s: when each request is due.
        devices: the names of devices, and ``device_at``: each request's among them.
        splits: data sets with their split, and ``split_at``: each request's among them.
        rows: of the data set.
        ids: ``None`` where each is that of its number.
    """

    times_s: array[float]
    devices: Sequence[str]
    device_at: array[int]
    splits: Sequence[tuple[str, str]]
    split_at: array[int]
    rows: array[int]
    ids: Sequence[str] | None

    @classmethod
    def of(cls, requests: Iterable[Request]) -> CompactTrace:
        """Take requests in, one after the other; an iterator's are not held. One of its kind stays itself."""
        if isinstance(requests, cls):
            return requests
        times_s, device_at, split_at, rows = array("d"), array("i"), array("H"), array("i")
        devices: dict[str, int] = {}
        splits: dict[tuple[str, str], int] = {}
        ids: list[str] | None = None
        for number, request in enumerate(requests, start=1):
            if ids is None and request.id != numbered_id(number):
                ids = [numbered_id(before) for before in range(1, number)]
            if ids is not None:
                ids.append(request.id)
            times_s.append(request.at_s)
            device_at.append(devices.setdefault(request.device, len(devices)))
            split_at.append(splits.setdefault((request.dataset, request.split), len(splits)))
            rows.append(request.row)
        return cls(times_s, list(devices), device_at, list(splits), split_at, rows, ids)

    def __len__(self) -> int:
        return len(self.times_s)

    @overload
    def __getitem__(self, at: int) -> Request: ...
    @overload
    def __getitem__(self, at: slice) -> list[Request]: ...
    def __getitem__(self, at: int | slice) -> Request | list[Request]:
        places = range(len(self))[at]  # which minds signs and bounds
        return self._made(places) if isinstance(places, int) else list(map(self._made, places))

    def __iter__(self) -> Iterator[Request]:
        return map(self._made, range(len(self)))

    def id_of(self, at: int) -> str:
        """The id of the request at that place, from 0."""
        return numbered_id(at + 1) if self.ids is None else self.ids[at]

    def _made(self, at: int) -> Request:
        device = self.devices[self.device_at[at]]
        return Request(
            self.id_of(at), self.times_s[at], device, *self.splits[self.split_at[at]], self.rows[at]
        )
