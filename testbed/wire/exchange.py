"""Books what a connection's requests and answers hold: prompt, answer, envelope, instrumentation, headers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from testbed.scenario.topology import Direction
from testbed.wire.http_message import Message
from testbed.wire.http_stream import HttpParser
from testbed.wire.parts import Notes, Parts, RequestBytes
from testbed.wire.texts import answer_bytes, prompt_bytes
from tiers.protocol import COMPLETIONS_PATH


@dataclass(slots=True)
class Ledger:
    """The link's requests, and the rule that a text counts once for each of them."""

    requests: dict[str, RequestBytes] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)

    def entry(self, request_id: str) -> RequestBytes:
        entry = self.requests.get(request_id)
        if entry is None:
            entry = self.requests[request_id] = RequestBytes()
        return entry

    def prompt(self, parts: Parts, request_id: str, size_bytes: int) -> int:
        """Book one sending of a prompt; return how many of its bytes are a repeat.

        Of several sendings the longest counts as the prompt, since others may have been cut.
        """
        entry = self.entry(request_id)
        again = _repeated(request_id, entry.prompts, entry.prompt_bytes, size_bytes)
        entry.prompts += 1
        entry.prompt_bytes += size_bytes - again
        entry.retried_prompt_bytes += again
        parts.prompt_bytes += size_bytes - again
        parts.retried_prompt_bytes += again
        parts.other_bytes += again
        return again

    def answer(self, parts: Parts, request_id: str, size_bytes: int) -> int:
        """Book one sending of an answer, as :meth:`prompt` does."""
        entry = self.entry(request_id)
        again = _repeated(request_id, entry.answers, entry.answer_bytes, size_bytes)
        entry.answers += 1
        entry.answer_bytes += size_bytes - again
        entry.retried_answer_bytes += again
        parts.answer_bytes += size_bytes - again
        parts.retried_answer_bytes += again
        parts.other_bytes += again
        return again


def _repeated(request_id: str, times: int, had_bytes: int, size_bytes: int) -> int:
    return min(had_bytes, size_bytes) if times and request_id else 0


@dataclass(slots=True)
class Exchange:
    """A request and its answer; the answer comes first where the capture's order is not the wire's."""

    request: Message | None = None
    settle: Callable[[str], None] | None = None
    """Books the answer's text once the request's id is known."""


class Conversation:
    """The HTTP of one connection. Answers belong to requests in order (RFC 9112, section 9.3)."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.from_the_start = False
        """Whether the connection's SYN was seen; if not, an answer may belong to a request from before."""
        self.closed = False
        self._asked: deque[Exchange] = deque()
        self._answered: deque[Exchange] = deque()

    def ask(self, request: Message) -> None:
        if self._answered:
            exchange = self._answered.popleft()
            exchange.request = request
            if exchange.settle is not None:
                exchange.settle(request.request_id or "")
        else:
            self._asked.append(Exchange(request))

    def reply(self) -> Exchange:
        if self._asked:
            return self._asked.popleft()
        exchange = Exchange()
        if self.from_the_start:
            self._answered.append(exchange)
        return exchange

    def close(self) -> None:
        for exchange in self._answered:
            if exchange.settle is not None:
                exchange.settle("")
        self.closed = True


class HttpSide:
    """One direction of a conversation: a sink for the stream's bytes that books them in ``parts``."""

    parser_class = HttpParser

    def __init__(self, conversation: Conversation, parts: Parts, direction: Direction) -> None:
        self._conversation, self._parts, self._direction = conversation, parts, direction
        self._ledger, self._notes = conversation.ledger, conversation.ledger.notes
        self._exchange = Exchange()
        self._parser = self.parser_class(self._head, self._end, self._foreign)
        self.feed = self._parser.feed
        self.lost = self._parser.lost
        self.close = self._parser.close

    def _head(self, message: Message) -> bool:
        if not message.status:
            self._conversation.ask(message)
        elif message.status >= 200:
            self._exchange = self._conversation.reply()
            asked = self._exchange.request
            return asked is None or asked.method != "HEAD"
        return True

    def _foreign(self, count: int) -> None:
        self._parts.other_bytes += count
        self._notes.add("payload that is no HTTP, counted as other, in pieces", count)

    def _end(self, message: Message) -> None:
        parts = self._parts
        parts.http_header_bytes += message.header_bytes
        parts.instrumentation_bytes += message.id_line_bytes
        if not message.whole:
            self._notes.add("HTTP messages cut off before their end")
        if message.status:
            self._end_answer(message)
        else:
            self._end_request(message)

    def _end_request(self, message: Message) -> None:
        parts, request_id = self._parts, message.request_id or ""
        self._book_http(message, request_id)
        if message.method != "POST" or message.target.partition("?")[0] != COMPLETIONS_PATH:
            self._notes.add(
                f"requests {message.method} {message.target[:80]}, which no WAN link should carry"
            )
            parts.envelope_bytes += message.body_bytes
            self._booked(message, request_id, 0, 0)
            return
        if not request_id:
            self._notes.add("requests without a request id")
        text_bytes = self._split(message, lambda body, cut: (prompt_bytes(body, cut=cut), 0))[0]
        parts.envelope_bytes += message.body_bytes - text_bytes
        again_bytes = self._ledger.prompt(parts, request_id, text_bytes)
        self._booked(message, request_id, text_bytes, again_bytes)

    def _end_answer(self, message: Message) -> None:
        parts, exchange = self._parts, self._exchange
        text_bytes, instrumentation = self._split(message, lambda body, cut: answer_bytes(body, cut=cut))
        parts.instrumentation_bytes += instrumentation
        parts.envelope_bytes += message.body_bytes - text_bytes - instrumentation

        def settle(request_id: str) -> None:
            answers_id = message.request_id
            if answers_id is not None and request_id and answers_id != request_id:
                self._notes.add("answers whose request id is not their request's", doubt=True)
            request_id = answers_id if answers_id is not None else request_id
            self._book_http(message, request_id)
            again_bytes = self._ledger.answer(parts, request_id, text_bytes)
            self._booked(message, request_id, text_bytes, again_bytes, instrumentation)

        if 100 <= message.status < 200:
            self._booked(message, "", 0, 0)
            return
        if exchange.request is not None:
            settle(exchange.request.request_id or "")
        elif self._conversation.from_the_start:
            exchange.settle = settle
        else:
            settle("")

    def _booked(
        self, message: Message, request_id: str, text_bytes: int, again_bytes: int, instrumentation: int = 0
    ) -> None:
        """Called when all bytes of a message are booked; of its text, ``again_bytes`` as other."""

    def _book_http(self, message: Message, request_id: str) -> None:
        size_bytes = message.header_bytes + message.id_line_bytes + message.body_bytes
        entry = self._ledger.entry(request_id)
        if self._direction == "up":
            entry.up_http_bytes += size_bytes
        else:
            entry.down_http_bytes += size_bytes

    def _split(self, message: Message, split: Callable[[bytes, bool], tuple[int, int]]) -> tuple[int, int]:
        """Text and instrumentation in the body; nothing of either if it is no JSON."""
        if not message.body_bytes:
            return 0, 0
        if not message.json or not message.kept:
            self._notes.add("bodies compressed or too long to read, counted as envelope", message.body_bytes)
            return 0, 0
        try:
            return split(bytes(message.body), not message.whole)
        except (ValueError, RecursionError):
            self._notes.add("bodies that are no JSON object, counted as envelope", message.body_bytes)
            return 0, 0
