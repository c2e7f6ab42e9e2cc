"""Request ids of users: taken as they are, short between tiers, never confused."""

from __future__ import annotations

import json
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiers.nodes import HOST, ask, begin, chain, node_config, prompt_body, records, running
from tests.tiers.parents import answering, parent
from tiers.errors import RequestError
from tiers.ids import MARK, MAX_USER_ID_LENGTH, ShortIds
from tiers.protocol import REQUEST_ID_HEADER, REQUEST_ID_MAX_LENGTH

UUID = "0b9a1b3a-5a5a-4b9f-9a7a-c56a4ee9d1a5"
USER_IDS = st.text(st.characters(max_codepoint=255), min_size=1, max_size=MAX_USER_ID_LENGTH)


@given(st.lists(USER_IDS, max_size=40))
def test_ids_are_short_plain_repeatable_and_told_apart(user_ids: list[str]) -> None:
    ids = ShortIds()
    short = {user_id: ids.of(user_id) for user_id in user_ids}
    assert len(set(short.values())) == len(short)
    for user_id, sent in short.items():
        assert len(sent) <= REQUEST_ID_MAX_LENGTH
        assert sent.isascii()
        assert sent.isprintable()
        assert ids.of(user_id) == sent


@settings(max_examples=30)
@given(st.uuids().map(str))
def test_an_id_that_a_user_took_from_another_s_answer_is_not_that_one(long: str) -> None:
    first = ShortIds()
    assert first.of(first.of(long)) != first.of(long)
    short, second = ShortIds().of(long), ShortIds()
    assert second.of(short) == short
    assert second.of(long) != short


def test_the_same_id_is_the_same_at_every_node_and_short_ones_stay_as_they_are() -> None:
    long = str(uuid.UUID(int=7))
    assert ShortIds().of(long) == ShortIds().of(long)
    assert [ShortIds().of(plain) for plain in ("r000001", "a, b", MARK)] == ["r000001", "a, b", MARK]


def test_what_is_remembered_is_bounded() -> None:
    ids = ShortIds(limit=3)
    for number in range(10):
        ids.of(str(uuid.UUID(int=number)))
    assert len(ids._owners) == 3
    with pytest.raises(RequestError, match="at most 256 bytes"):
        ids.of("x" * 257)


def exchange(port: int, user_id: bytes, text: str = "one two") -> tuple[bytes, bytes]:
    """Head and body of the answer to a request whose id has these bytes."""
    body = prompt_body(text)
    head = b"POST /v1/chat/completions HTTP/1.0\r\n%s: %s\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection((HOST, port), timeout=20) as connection:
        connection.sendall(head % (REQUEST_ID_HEADER.encode(), user_id, len(body)) + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    found, _, rest = answer.partition(b"\r\n\r\n")
    return found, rest


@pytest.mark.parametrize(
    "user_id",
    [
        b"7",
        b"r000001",
        UUID.encode(),
        b"caf\xe9",
        "кот".encode(),
        b"a\tb",
        b"x" * 256,
    ],
)
def test_a_user_gets_his_id_back_as_he_sent_it(user_id: bytes) -> None:
    with running(node_config("cloud", None)) as cloud:
        head, body = exchange(cloud.port, user_id)
        assert head.startswith(b"HTTP/1.0 200")
        (record,) = records(cloud)
        is_its_own = record["request_id"].encode() == user_id
        assert head.count(b"\r\nX-Request-Id: " + user_id) == (0 if is_its_own else 1)
        assert json.loads(body)["id"] == user_id.decode("latin-1" if b"\xe9" in user_id else "utf-8")


@pytest.mark.parametrize(("user_id", "says"), [(b"x" * 257, b"256 bytes"), (b"a\x01b", b"header")])
def test_an_id_that_is_none_is_refused_in_one_sentence(user_id: bytes, says: bytes) -> None:
    with running(node_config("cloud", None)) as cloud:
        head, body = exchange(cloud.port, user_id)
        assert head.startswith(b"HTTP/1.0 400")
        assert says in body
        assert records(cloud) == []


def test_errors_bear_the_id_too() -> None:
    with running(node_config("cloud", None)) as cloud:
        answer = ask(cloud.port, b"{", UUID)
        assert answer.status == 400
        assert dict(answer.headers)[REQUEST_ID_HEADER] == UUID


def test_between_tiers_a_long_id_is_short_and_all_tiers_know_the_request_by_it() -> None:
    long = str(uuid.uuid4())
    with chain() as nodes:
        begin({"policy": "cloud-only"}, *nodes)
        answer = ask(nodes[0].port, "one", long)
        assert answer.status == 200
        (known,) = {record["request_id"] for node in nodes for record in records(node)}
        assert len(known) <= REQUEST_ID_MAX_LENGTH
        assert answer.json["id"] == long
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin({"policy": "cloud-only"}, edge)
        ask(edge.port, "one", long)
        assert b"\r\nX-Request-Id: " + known.encode() + b"\r\n" in seen.requests[0]
        assert long.encode() not in seen.requests[0]


def test_a_tier_below_is_spared_the_echo() -> None:
    with running(node_config("cloud", None, host="0.0.0.0")) as cloud:
        body = prompt_body("x")
        with socket.create_connection(
            (HOST, cloud.port), timeout=20, source_address=("127.0.0.9", 0)
        ) as below:
            head = b"POST /v1/chat/completions HTTP/1.0\r\nX-Request-Id: r1\r\nContent-Length: %d\r\n\r\n"
            below.sendall(head % len(body) + body)
            answer = b"".join(iter(lambda: below.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.0 200")
        assert b"X-Request-Id" not in answer


def test_a_repeated_long_id_gets_the_answer_that_there_is() -> None:
    long, other = str(uuid.uuid4()), str(uuid.uuid4())
    with chain(service_ms=50) as nodes:
        begin({"policy": "cloud-only"}, *nodes)
        with ThreadPoolExecutor(3) as crowd:
            during = list(crowd.map(lambda _: ask(nodes[0].port, "once", long), range(3)))
        assert len({answer.raw for answer in during}) == 1
        assert ask(nodes[0].port, "once", other).json["id"] != during[0].json["id"]
        assert [len(records(node)) for node in nodes] == [2, 2, 2]
        conflict = ask(nodes[0].port, "something else", long)
        assert (conflict.status, conflict.json["error"]["type"]) == (409, "conflict")
