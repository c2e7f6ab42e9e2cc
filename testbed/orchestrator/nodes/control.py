"""Talks to a node's control endpoint over the node's own loopback, so that no WAN link carries it."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from testbed.errors import TestbedError
from testbed.host.cgroup import ContainerGroup
from testbed.host.processes.reporting import Report, silent
from testbed.host.processes.waiting import wait_until
from testbed.network.container import TierHost
from testbed.orchestrator.nodes.loopback import LoopbackConnection, Patience, StandsStill
from tiers.protocol import CONTROL_PREFIX, COUNT_KEY, encode_json
from tiers.records import MAX_RECORDS

CONTROL_TIMEOUT_S = 60.0
WARMUP_TIMEOUT_S = 300.0
READY_POLL_S = 0.5
MAX_ANSWER_BYTES = 64 << 20
"""Of what a node says at once: the answers to thousands of texts, at most."""
MAX_RECORD_BYTES = 16 << 20
"""Its answer may be long."""

Read = Callable[[http.client.HTTPResponse], Any]
"""Reads an answer to its end."""


class NodeControl:
    """Control of one node (:mod:`tiers.server`); ``tell`` is told if it is waited for."""

    def __init__(self, host: TierHost, tell: Report = silent) -> None:
        self.host = host
        self.name: str = host.name
        self._patience = Patience(self.name, host.stands_still, tell)

    def ready(self) -> bool:
        """Whether the node's model is loaded.

        Raises:
            TestbedError: its container has ended, with the last line of its log; or stands still.
        """
        try:
            status, _ = self._exchange("/health", None, CONTROL_TIMEOUT_S)
        except StandsStill as error:
            raise TestbedError(f"node {self.name} does not say whether it is ready ({error})") from error
        except (OSError, http.client.HTTPException, TestbedError):  # its namespace goes with a container
            self.host.require_running()
            return False
        return status == 200

    def warm_up(self, texts: Sequence[str]) -> None:
        """Infer ``texts``; they enter no window and go nowhere."""
        self.infer_apart(texts)

    def infer_apart(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """``{answer, confidence}`` of each text, inferred apart from any method: it enters no window."""
        found = self._ask("warmup", {"texts": list(texts)}, WARMUP_TIMEOUT_S)
        pairs = zip(found["answers"], found["confidences"], strict=True)
        return [{"answer": answer, "confidence": confidence} for answer, confidence in pairs]

    def reset(
        self,
        method: str,
        policy: dict[str, Any],
        round_trips: Mapping[str, float] = MappingProxyType({}),
        requests: int | None = None,
    ) -> None:
        """Start ``method`` with nothing carried over from the one before.

        Args:
            round_trips: the longest ones, by their names in a node's configuration, where they may differ
                from those that it started with.
            requests: for how many the node is to keep records (:data:`tiers.records.KEPT` by default).
        """
        told = {} if requests is None else {"requests": min(requests, MAX_RECORDS)}
        self._ask("reset", {"method": method, "policy": policy, **round_trips, **told})

    def share(self, confidences: Sequence[float]) -> list[float]:
        """Tell the node what entered the window at other nodes of its tier.

        Returns what entered it here since the last time.
        """
        return list(self._ask("share", {"confidences": list(confidences)})["entered"])

    def disconnect(self) -> None:
        """Close the connections to the tier above."""
        self._ask("disconnect", {})

    def records(self, request_id: str | None = None) -> list[dict[str, Any]]:
        """What the node recorded of each request since the reset, or of this one."""
        query = "" if request_id is None else f"?id={quote(request_id, safe='')}"
        return list(self._ask(f"records{query}", timeout_s=WARMUP_TIMEOUT_S, read=_records))

    def status(self) -> dict[str, Any]:
        """The node's model, its method, how many records it had no room for, and more."""
        return dict(self._ask("status"))

    def describe_engine(self) -> dict[str, Any]:
        """What an engine says of the model that it serves, where this is the control of one."""
        try:
            _, answer = self._exchange("/v1/models", None, CONTROL_TIMEOUT_S)
            return dict(answer["data"][0]["meta"])
        except (OSError, http.client.HTTPException, LookupError, TypeError, ValueError) as error:
            self.host.require_running()
            raise TestbedError(f"{self.host.called} does not say what it serves ({error!r})") from error

    def _ask(
        self, path: str, body: Any = None, timeout_s: float = CONTROL_TIMEOUT_S, read: Read | None = None
    ) -> Any:
        """Post ``body``, or get what is there without one; return the answer's JSON, or what is ``read``."""
        try:
            status, answer = self._exchange(f"{CONTROL_PREFIX}/{path}", body, timeout_s, read)
        except (OSError, http.client.HTTPException, TestbedError) as error:
            self.host.require_running()
            raise TestbedError(f"node {self.name} does not answer {path} ({error})") from error
        if status != 200:
            message = answer.get("error", {}).get("message", "") if isinstance(answer, dict) else ""
            raise TestbedError(f"node {self.name} refused {path}: {message or f'status {status}'}")
        return answer

    def _exchange(self, path: str, body: Any, timeout_s: float, read: Read | None = None) -> tuple[int, Any]:
        self._patience.require_going_on()
        what = path.removeprefix(f"{CONTROL_PREFIX}/").partition("?")[0]
        with closing(LoopbackConnection(self.host.netns_path, timeout_s, self._patience, what)) as connection:
            verb, payload = ("GET", None) if body is None else ("POST", encode_json(body))
            connection.request(verb, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, (read if read and response.status == 200 else _json)(response)


def _json(response: http.client.HTTPResponse) -> Any:
    """An answer's JSON; ``None`` where it is none."""
    raw = response.read(MAX_ANSWER_BYTES + 1)
    if len(raw) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException(f"its answer has more than {MAX_ANSWER_BYTES:,} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _records(response: http.client.HTTPResponse) -> list[dict[str, Any]]:
    """The records that a node tells in lines (:func:`tiers.records.told_in_lines`), to the last of them."""
    found: list[dict[str, Any]] = []
    try:
        while line := response.readline(MAX_RECORD_BYTES):
            told = json.loads(line, object_pairs_hook=_with_known_keys)
            if told.keys() == {COUNT_KEY}:
                if told[COUNT_KEY] != len(found):
                    break
                return found
            found.append(told)
    except (ValueError, RecursionError, AttributeError) as error:
        raise http.client.HTTPException(f"line {len(found) + 1} is no record") from error
    raise http.client.HTTPException(f"it told of {len(found):,} records, and these are not all")


def _with_known_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are the same strings as those of all others."""
    return {sys.intern(name): value for name, value in pairs}


def wait_ready(nodes: Sequence[NodeControl], timeout_s: float, progress: Callable[[int, int], None]) -> None:
    """Wait until every node's model is loaded; ``progress`` is called with how many are, and of how many.

    Raises:
        TestbedError: a container has ended, or a model is not loaded in time.
    """
    waiting = list(nodes)

    def are_ready() -> bool:
        waiting[:] = [node for node in waiting if not node.ready()]
        progress(len(nodes) - len(waiting), len(nodes))
        return not waiting

    if not wait_until(are_ready, timeout_s, READY_POLL_S):
        names, memory = (", ".join(map(word, waiting)) for word in (lambda node: node.name, _memory_of))
        raise TestbedError(
            f"the models of {names} were not loaded after {timeout_s:.0f} s ({memory}); "
            "give the tiers more memory or the machine less to do"
        )


def _memory_of(node: NodeControl) -> str:
    """What of its limit a node's container uses: close to it, a model loads for ever and none is killed."""
    limit, used = node.host.spec.memory_bytes, ContainerGroup(str(node.host.container.id)).usage().anon_bytes
    of_it = f"of its {limit >> 20} MiB" if limit else "of memory, without a limit"
    return f"{node.name} uses {(used or 0) >> 20} MiB {of_it}"


def on_all(nodes: Sequence[NodeControl], act: Callable[[NodeControl], Any]) -> dict[str, Any]:
    """Call ``act`` with every node at the same time; return the results by the nodes' names."""
    with ThreadPoolExecutor(max_workers=min(16, len(nodes)) or 1, thread_name_prefix="control") as pool:
        return dict(zip((node.name for node in nodes), pool.map(act, nodes), strict=True))
