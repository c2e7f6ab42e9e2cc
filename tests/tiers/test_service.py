"""Tiers on real sockets: what is kept, what goes up, and in which order it is recorded."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from testbed.orchestrator.rows.tiers import overflows
from tests.tiers import gated
from tests.tiers.nodes import (
    Answer,
    ask,
    begin,
    call,
    chain,
    free_port,
    node_config,
    prompt_body,
    records,
    running,
    wait_until,
)
from tests.tiers.parents import answer, answering, parent
from tiers.protocol import DEADLINE_HEADER, REQUEST_ID_HEADER, encode_json
from tiers.records import KEPT, MAX_REPLIES, MAX_REPLIES_BYTES, Replies, Reply
from tiers.server import Node

TEXTS = [f"a film of number {number}" for number in range(60)]


def everything_up(*nodes: Node) -> None:
    begin({"policy": "casserve", "thresholds": {"device": 1.0, "edge": 1.0}}, *nodes)


def test_an_answer_names_its_tier_and_the_whole_way_lowest_node_first() -> None:
    with chain() as nodes:
        everything_up(*nodes)
        answer = ask(nodes[0].port, "so so", "r1")
        assert answer.status == 200
        assert answer.json["object"] == "chat.completion"
        assert answer.text in ("negative", "positive")
        recserve = answer.json["recserve"]
        assert recserve["tier"] == "cloud"
        assert [step["node"] for step in recserve["path"]] == ["device1", "edge1", "cloud1"]
        assert [step["kept"] for step in recserve["path"]] == [False, False, True]
        for node, step in zip(nodes, recserve["path"], strict=True):
            (record,) = records(node)
            assert (record["request_id"], record["outcome"]) == ("r1", "answered")
            assert record["confidence"] == step["confidence"]
            assert (record["threshold"], record["kept"]) == (step["threshold"], step["kept"])


def test_a_made_up_answer_is_recorded_as_such_and_its_reply_is_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"text": "known", "answer": "positive", "confidence": 0.9}\n')
    model = {
        "kind": "recorded", "path": str(path), "default": {"service_ms": 0}, "missing": "made-up",
    }  # fmt: skip
    with running(node_config("cloud", None, model=model)) as cloud:
        replies = [ask(cloud.port, text, f"r{at}") for at, text in enumerate(("known", "unknown"))]
        assert [record["made_up"] for record in records(cloud)] == [False, True]
        known, unknown = (reply.json for reply in replies)
        assert known["recserve"].keys() == unknown["recserve"].keys() == {"tier", "path"}
        assert known["recserve"]["path"][0].keys() == unknown["recserve"]["path"][0].keys()
        assert b"made" not in replies[1].raw


def test_a_node_that_relays_has_made_nothing_up() -> None:
    with chain() as (device, edge, cloud):
        begin({"policy": "cloud-only"}, device, edge, cloud)
        ask(device.port, "so so", "r1")
        assert [records(node)[0]["made_up"] for node in (device, edge, cloud)] == [None, None, True]


@pytest.mark.parametrize("confidence", ["nan", "inf", "-0.5", "1.5"])
def test_a_confidence_that_is_none_ends_the_request_and_enters_no_window(
    tmp_path: Path, confidence: str
) -> None:
    (tmp_path / "odd.py").write_text(
        "from tiers.confidence import Confidence\n"
        "from tiers.models import Model, Output\n"
        f"class Odd(Confidence):\n    def of(self, output):\n        return float('{confidence}')\n"
        "class Parrot(Model):\n    def infer(self, text):\n        return Output(text)\n"
    )
    model = {"kind": f"{tmp_path}/odd.py:Parrot", "confidence": f"{tmp_path}/odd.py:Odd"}
    with running(node_config("cloud", None, model=model)) as cloud:
        answer = ask(cloud.port, "x", "r1")
        assert (answer.status, answer.json["error"]["type"]) == (500, "inference")
        assert f"{float(confidence)}, which is not in [0, 1]" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("written", "confidence"),
    [
        ("numpy.float32(0.75)", 0.75),
        ("1 + numpy.float32(1e-7)", 1.0),
        (
            "1 + math.fsum([1 / 5 * math.log(1 / 5)] * 5) / math.log(5)",
            0.0,
        ),  # of five classes, entropy taken off
    ],
)
def test_a_confidence_of_numpys_own_type_or_with_its_rounding_is_a_number_as_any_other(
    tmp_path: Path, written: str, confidence: float
) -> None:
    (tmp_path / "single.py").write_text(
        "import math\nimport numpy\n"
        "from tiers.confidence import Confidence\nfrom tiers.models import Model, Output\n"
        f"class Single(Confidence):\n    def of(self, output):\n        return {written}\n"
        "class Parrot(Model):\n    def infer(self, text):\n        return Output(text)\n"
    )
    model = {"kind": f"{tmp_path}/single.py:Parrot", "confidence": f"{tmp_path}/single.py:Single"}
    with running(node_config("cloud", None, model=model)) as cloud:
        step = ask(cloud.port, "x", "r1").json["recserve"]["path"][0]
        assert step["confidence"] == pytest.approx(confidence, abs=1e-9)
        assert 0 <= step["confidence"] <= 1
        assert records(cloud)[0]["confidence"] == step["confidence"]


def test_a_model_that_answers_nothing_has_not_answered(tmp_path: Path) -> None:
    (tmp_path / "mute.py").write_text(
        "from tiers.models import Model, Output\n"
        "class Mute(Model):\n"
        "    def infer(self, text):\n"
        "        return Output(None if text == 'x' else text, confidence=0.5, completion_tokens=1)\n"
    )
    with running(node_config("cloud", None, model={"kind": f"{tmp_path}/mute.py:Mute"})) as cloud:
        answer = ask(cloud.port, "x", "r1")
        assert (answer.status, answer.json["error"]["type"]) == (500, "malformed")
        assert ask(cloud.port, "y", "r2").text == "y"
        assert [record["outcome"] for record in records(cloud)] == ["malformed", "answered"]


def test_many_requests_at_a_time_enter_the_window_one_by_one_in_the_order_of_inference() -> None:
    with chain(service_ms=1) as (device, edge, cloud):
        begin({"policy": "recserve", "beta": 0.4, "window": 20}, device, edge, cloud)
        with ThreadPoolExecutor(30) as crowd:
            answers = list(crowd.map(lambda pair: ask(device.port, pair[1], f"r{pair[0]}"), enumerate(TEXTS)))
        assert [answer.status for answer in answers] == [200] * len(TEXTS)
        for node in (device, edge):
            entered = sorted(records(node), key=lambda record: record["window_seq"])
            assert [record["window_seq"] for record in entered] == list(range(len(entered)))
            for seq, record in enumerate(entered):
                held = [other["confidence"] for other in entered[max(0, seq - 19) : seq + 1]]
                assert record["window_length"] == len(held)
                threshold = float(np.percentile(held, 40)) if len(held) > 1 else None
                assert record["threshold"] == threshold
                assert record["kept"] == (threshold is None or not record["confidence"] < threshold)
        offloaded = sum(not record["kept"] for record in records(device))
        assert len(records(edge)) == offloaded > 10
        assert len(records(cloud)) == sum(not record["kept"] for record in records(edge)) > 0
        assert {record["threshold"] for record in records(cloud)} == {None}


def test_one_inference_at_a_time_and_times_that_add_up() -> None:
    with chain(service_ms=40) as (device, *_):
        begin({"policy": "device-only"}, device)
        started = time.monotonic()
        with ThreadPoolExecutor(5) as crowd:
            list(crowd.map(lambda n: ask(device.port, "same words", f"q{n}"), range(5)))
        assert time.monotonic() - started >= 0.2
        first_s = min(record["arrived_s"] for record in records(device))
        until_served = sorted(
            (record["arrived_s"] - first_s) * 1000 + record["own_ms"] + record["queue_ms"]
            for record in records(device)
        )
        for place, ms in enumerate(until_served):
            assert 40 * place <= ms < 40 * place + 1000
        for record in records(device):
            assert 40 <= record["inference_ms"] < 1000
            assert 0 <= record["own_ms"] < 1000
            assert record["upstream_ms"] is None


def test_as_many_requests_as_are_outstanding_are_inferred_while_the_tier_above_is_silent() -> None:
    gate, count = threading.Event(), 100

    def silent(_number: int, connection: socket.socket) -> bool:
        assert gate.wait(20)
        connection.sendall(answer("positive"))
        return True

    with parent(silent) as (above, seen), running(node_config("device", above)) as device:
        everything_up(device)
        with ThreadPoolExecutor(count) as crowd:
            asked = [crowd.submit(ask, device.port, f"n {n}", f"r{n}") for n in range(count)]
            wait_until(lambda: len(seen.requests) == count)
            gate.set()
            assert {answer.result().status for answer in asked} == {200}
        assert {record["inferred"] for record in records(device)} == {True}
        assert {record["thread_ms"] for record in records(device)} == {0}


def test_where_more_requests_are_outstanding_than_a_node_handles_their_wait_is_a_queues() -> None:
    gate, held_s = threading.Event(), 0.3

    def silent(_number: int, connection: socket.socket) -> bool:
        assert gate.wait(20)
        connection.sendall(answer("positive"))
        return True

    with parent(silent) as (above, _), running(node_config("edge", above, request_threads=3)) as edge:
        begin({"policy": "cloud-only"}, edge)
        with ThreadPoolExecutor(9) as crowd:
            asked = [crowd.submit(ask, edge.port, f"n {n}", f"r{n}") for n in range(9)]
            wait_until(lambda: len(edge.server.threads.queue) == 6)
            time.sleep(held_s)
            gate.set()
            assert {answer.result().status for answer in asked} == {200}
        waits_ms = sorted(record["thread_ms"] for record in records(edge))
        assert waits_ms[:3] == [0, 0, 0]
        assert waits_ms[3] >= held_s * 1000
        assert all(record["queue_ms"] == record["thread_ms"] for record in records(edge))
        assert min(record["own_ms"] for record in records(edge)) >= 0
        (found,) = overflows("cloud-only", {"edge1": records(edge)}, {"edge1": 0})
        assert (found.waited, found.waited_max_ms) == (6, waits_ms[-1])


def test_lots_send_up_the_same_requests_whatever_the_order_in_which_they_came() -> None:
    lot = {"policy": "colserve", "share": 0.5, "seed": 3, "method": "lot"}
    ids = [f"r{number:06d}" for number in range(len(TEXTS))]
    sent = []
    with chain() as nodes:
        for pairs in (list(zip(ids, TEXTS, strict=True)), list(zip(ids, reversed(TEXTS), strict=True))[::-1]):
            begin(lot, *nodes)
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda pair: ask(nodes[0].port, pair[1], pair[0]), pairs))
            assert {answer.status for answer in answers} == {200}
            found = records(nodes[0])
            assert all(record["inferred"] for record in found)
            sent.append({record["request_id"] for record in found if not record["kept"]})
    assert sent[0] == sent[1]
    assert 0.3 < len(sent[0]) / len(ids) < 0.7


def test_prompts_that_are_too_long_for_a_tier_are_not_inferred_there() -> None:
    with chain() as nodes:
        begin({"policy": "length-router", "longest": {"device": 4, "edge": 8}}, *nodes)
        for request_id, text, tiers in (("r1", "kino", 1), ("r2", "höre", 2), ("r3", "nine byte", 3)):
            path = ask(nodes[0].port, text, request_id).json["recserve"]["path"]
            assert len(path) == tiers
            assert [step["confidence"] is None for step in path] == [True] * (tiers - 1) + [False]
        assert [record["inferred"] for record in records(nodes[1])] == [True, False]


def test_a_policy_may_be_told_something_of_each_request_of_a_long_trace() -> None:
    ids = [f"r{number:06d}" for number in range(200_000)]
    with chain() as nodes:
        begin({"policy": "oracle", "goes_up": {"device": ids, "edge": []}}, *nodes)
        for request_id, served in (("r199999", "edge1"), ("r200000", "device1")):
            path = ask(nodes[0].port, "so so", request_id).json["recserve"]["path"]
            assert path[-1]["node"] == served


def test_a_node_tells_what_entered_its_window_once_and_takes_in_what_entered_others() -> None:
    def share(node: Node, *confidences: object) -> Answer:
        return call(node.port, "POST", "/control/share", encode_json({"confidences": confidences}))

    with chain() as nodes:
        device = nodes[0]
        begin({"policy": "recserve", "beta": 0.0, "scope": "tier"}, *nodes)
        ask(device.port, "so so", "r1")
        entered = [record["confidence"] for record in records(device)]
        assert share(device, 0.5, 1).json == {"entered": entered}
        assert share(device).json == {"entered": []}
        ask(device.port, "better", "r2")
        last = records(device)[-1]
        assert (last["window_seq"], last["window_length"], last["threshold"]) == (3, 4, min(*entered, 0.5))
        for wrong in (True, "0.5", 1.5, -0.1, None):
            assert "each in [0, 1]" in share(device, wrong).raw.decode()
        begin({"policy": "recserve"}, *nodes)
        assert "the window is this node's alone" in share(device, 0.5).raw.decode()
        assert share(nodes[2]).json == {"entered": []}


def test_a_policy_is_shown_the_prompt_only_if_it_asks_for_it(tmp_path: Path) -> None:
    policy = """
from tiers.policies import KEEP, Policy

class Curious(Policy):
    knows = ("prompt",)

    def judge(self, request, confidence):
        assert request.prompt == self.expected, request
        return KEEP

    expected = "so so"

class Discreet(Curious):
    knows = ("confidence",)
    expected = None
"""
    (tmp_path / "mine.py").write_text(policy)
    with (
        running(node_config("cloud", None)) as cloud,
        running(node_config("edge", cloud.port, plugins=[str(tmp_path)])) as edge,
    ):
        for name in ("Curious", "Discreet"):
            begin({"policy": f"mine.py:{name}"}, edge)
            assert ask(edge.port, "so so", "r1").status == 200


def test_a_tier_that_relays_leaves_the_others_to_decide() -> None:
    with chain() as nodes:
        begin({"policy": "casserve", "thresholds": {"device": 1.0}, "relay": ["edge"]}, *nodes)
        answer = ask(nodes[0].port, "so so", "r1")
        path = answer.json["recserve"]["path"]
        assert [(step["node"], step["confidence"] is None, step["kept"]) for step in path] == [
            ("device1", False, False),
            ("edge1", True, False),
            ("cloud1", False, True),
        ]
        assert [len(records(node)) for node in nodes] == [1, 1, 1]
        assert not records(nodes[1])[0]["inferred"]


def test_relays_pass_the_body_on_byte_for_byte_and_do_not_infer() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin({"policy": "cloud-only"}, edge)
        odd = b'{ "messages" : [ {"role":"user","content":"caf\\u00e9 \\"\xc3\xa9\\\\ "} ], "top_p":0.50 }\n'
        answer = ask(edge.port, odd, "r9")
        assert answer.text == "positive"
        assert [step["node"] for step in answer.json["recserve"]["path"]] == ["edge1", "cloud1"]
        head, _, body = seen.requests[0].partition(b"\r\n\r\n")
        assert body == odd
        assert b"\r\nX-Request-Id: r9" in head
        (record,) = records(edge)
        assert (record["inferred"], record["confidence"], record["answer"]) == (False, None, None)
        assert (record["kept"], record["queue_ms"], record["inference_ms"]) == (False, 0, 0)
        assert record["upstream_ms"] > 0


def test_what_an_inferring_tier_sends_up_is_the_body_it_got() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        everything_up(edge)
        body = prompt_body('„Ätzend“, "quoted" \\ back — 電影 🎬')
        assert ask(edge.port, body).status == 200
        assert seen.requests[0].endswith(b"\r\n\r\n" + body)
        assert "電影 🎬".encode() in seen.requests[0]


def test_non_ascii_answers_travel_as_utf8_through_every_tier() -> None:
    with (
        parent(answering("Ja, „großartig“ 🎬")) as (above, _),
        running(node_config("edge", above)) as edge,
        running(node_config("device", edge.port)) as device,
    ):
        everything_up(device, edge)
        answer = ask(device.port, "naïve 電影")
        assert answer.text == "Ja, „großartig“ 🎬"
        assert "Ja, „großartig“ 🎬".encode() in answer.raw
        assert b"\\u" not in answer.raw


def test_answers_are_kept_up_to_a_number_and_up_to_a_size() -> None:
    replies, large = Replies(), b"x" * (1 << 20)

    def is_new(name: str, body: bytes) -> bool:
        pending, new = replies.claim(name, b"")
        if new:
            replies.settle(name, pending, Reply(200, body))
        return new

    many = MAX_REPLIES_BYTES >> 20
    assert all(is_new(f"large {number}", large) for number in range(many))
    assert not any(is_new(f"large {number}", large) for number in range(many))
    assert is_new("one more", b"x")
    assert not is_new("large 1", large), "the oldest alone had to go"
    assert is_new("large 0", large)
    assert all(is_new(f"small {number}", b"x") for number in range(MAX_REPLIES))
    assert not is_new("small 0", b"x")
    assert is_new("large 0", large)


def test_a_repeated_id_gets_the_answer_that_there_is_without_a_second_inference() -> None:
    with chain(service_ms=150) as (device, edge, cloud):
        everything_up(device, edge, cloud)
        with ThreadPoolExecutor(3) as crowd:  # while the first is in flight
            during = list(crowd.map(lambda _: ask(device.port, "once", "same"), range(3)))
        after = ask(device.port, "once", "same")
        assert len({answer.raw for answer in [*during, after]}) == 1
        for node in (device, edge, cloud):
            assert len(records(node)) == 1
        conflict = ask(device.port, "something else", "same")
        assert (conflict.status, conflict.json["error"]["type"]) == (409, "conflict")


def test_a_deadline_in_the_queue_is_an_error_and_leaves_no_trace_in_the_window() -> None:
    with running(node_config("device", free_port(), model={"kind": gated.KIND})) as device:
        begin({"policy": "recserve"}, device)
        first = threading.Thread(target=ask, args=(device.port, "slow", "first"))
        first.start()
        assert gated.Gated.began.wait(gated.PATIENCE_S)
        late = ask(device.port, "hurried", "late", deadline_ms=200)
        assert (late.status, late.json["error"]["type"]) == (504, "deadline")
        gated.Gated.go.set()
        first.join()
        ask(device.port, "third", "third")
        found = {record["request_id"]: record for record in records(device)}
        assert found["late"]["inferred"] is False
        assert found["late"]["outcome"] == "deadline"
        assert 0 < found["late"]["queue_ms"] < 2000
        assert [found[name]["window_seq"] for name in ("first", "late", "third")] == [0, None, 1]


def test_past_the_deadline_the_best_answer_so_far_returns() -> None:
    with (
        running(node_config("cloud", None, service_ms=3000)) as cloud,
        running(node_config("edge", cloud.port)) as edge,
        running(node_config("device", edge.port)) as device,
    ):
        everything_up(device, edge, cloud)
        started = time.monotonic()
        answer = ask(device.port, "hard", "d1", deadline_ms=500)
        assert 0.4 < time.monotonic() - started < 2.5  # the cloud would have taken 3 s
        assert answer.status == 200
        assert answer.json["recserve"]["tier"] in ("device", "edge")
        (record,) = records(device)
        assert record["kept"] is False
        assert record["forward_error"] in ("deadline", None)
        begin({"policy": "cloud-only"}, device, edge, cloud)
        nothing = ask(device.port, "hard", "d2", deadline_ms=200)
        assert (nothing.status, nothing.json["error"]["type"]) == (504, "deadline")


def test_the_deadline_travels_as_what_remains_of_it() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above, service_ms=100)) as edge:
        everything_up(edge)
        ask(edge.port, "x", deadline_ms=5000)
        line = next(
            line for line in seen.requests[0].split(b"\r\n") if line.startswith(DEADLINE_HEADER.encode())
        )
        value = line.split(b": ")[1]
        assert len(value) == 7  # the same on a fast and on a slow host
        assert 3000 < int(value) <= 4900


def test_a_long_deadline_is_kept_as_it_is() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above)) as edge:
        begin({"policy": "cloud-only"}, edge)
        ask(edge.port, "x", deadline_ms=3_600_000)
        head = seen.requests[0].partition(b"\r\n\r\n")[0]
        value = head.partition(DEADLINE_HEADER.encode() + b": ")[2].partition(b"\r\n")[0]
        assert 3_500_000 < int(value) <= 3_600_000


def test_every_method_gets_the_same_start() -> None:
    with chain() as (device, edge, cloud):
        policy = {"policy": "recserve", "beta": 1.0}
        begin(policy, device, edge, cloud)
        first = [ask(device.port, text, f"r{n}") for n, text in enumerate(TEXTS[:8])]
        assert len(records(device)) == 8
        begin(policy, device, edge, cloud)
        assert records(device) == []
        assert b"tier_requests_total{" not in call(device.port, "GET", "/metrics").raw
        second = [ask(device.port, text, f"r{n}") for n, text in enumerate(TEXTS[:8])]
        assert [a.json["recserve"] for a in first] == [a.json["recserve"] for a in second]
        assert b'tier_requests_total{outcome="answered"} 8.0' in call(device.port, "GET", "/metrics").raw


def test_warming_up_enters_no_window_and_opens_no_connection() -> None:
    with parent(answering()) as (above, seen), running(node_config("edge", above, service_ms=5)) as edge:
        begin({"policy": "recserve"}, edge)
        warm = call(edge.port, "POST", "/control/warmup", encode_json({"texts": ["a", "b", "ü"]}))
        assert [ms >= 5 for ms in warm.json["inference_ms"]] == [True] * 3
        assert (seen.connections, records(edge)) == (0, [])
        ask(edge.port, "first")
        assert records(edge)[0]["window_length"] == 1


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"messages": []}', {}, 400),
        (b'{"messages": [{"role": "system", "content": "x"}]}', {}, 400),
        (b'{"messages": [{"role": "user", "content": ""}]}', {}, 400),
        (b'{"messages": [{"role": "user", "content": 7}]}', {}, 400),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', {}, 400),
        (b'{"messages": [{"role": "user", "content": "x"}], "stream": 1}', {}, 400),
        (b'{"messages": [{"role": "user", "content": "\xff"}]}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (prompt_body("x"), {REQUEST_ID_HEADER: "x" * 257}, 400),
        (prompt_body("x"), {DEADLINE_HEADER: "soon"}, 400),
        (prompt_body("x"), {DEADLINE_HEADER: "-5"}, 400),
        (prompt_body("x" * (1 << 20)), {}, 413),
        (prompt_body("x" * (3 << 20)), {}, 413),
    ],
)
def test_malformed_requests_get_an_error_of_json(body: bytes, headers: dict[str, str], status: int) -> None:
    with running(node_config("cloud", None)) as cloud:
        try:
            answer = call(cloud.port, "POST", "/v1/chat/completions", body, headers)
        except (BrokenPipeError, ConnectionResetError):
            assert status == 413  # refused before it had read all of it
            return
        assert answer.status == status
        assert answer.json["error"]["type"] == "invalid_request"
        assert answer.json["error"]["message"]
        assert ask(cloud.port, "still here").status == 200


def test_content_in_parts_and_earlier_turns_are_understood_as_in_the_openai_api() -> None:
    with running(node_config("cloud", None)) as cloud:
        plain = ask(cloud.port, "one two").json["recserve"]
        messages = [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "before"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]},
        ]
        assert ask(cloud.port, json.dumps({"messages": messages}).encode()).json["recserve"] == plain


def test_control_answers_to_this_nodes_own_loopback_address_alone() -> None:
    with running(node_config("cloud", None, host="0.0.0.0")) as cloud:
        for verb, path in (("GET", "records"), ("GET", "status"), ("POST", "reset"), ("POST", "disconnect")):
            answer = call(cloud.port, verb, f"/control/{path}", source="127.0.0.9")
            assert (answer.status, answer.json["error"]["type"]) == (403, "forbidden")
        assert call(cloud.port, "GET", "/health", source="127.0.0.9").status == 200
        assert call(cloud.port, "GET", "/control/status").json["node"] == "cloud1"


def test_a_wrong_reset_is_refused_and_changes_nothing() -> None:
    with chain() as (device, *_):
        begin({"policy": "recserve", "beta": 0.2}, device)
        ask(device.port, "x")
        reset = {"method": "m", "policy": {"policy": "device-only"}}
        for body in (
            b"{}",
            b"no",
            encode_json({"method": "m", "policy": {"policy": "recserve", "beta": 7}}),
            encode_json({**reset, "round_trip_s": -1}),
            encode_json({**reset, "requests": 0}),
            encode_json({**reset, "requests": 200_001}),
        ):
            answer = call(device.port, "POST", "/control/reset", body)
            assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request")
        assert len(records(device)) == 1


def test_a_node_keeps_as_many_records_as_a_method_has_requests_and_counts_the_others() -> None:
    with running(node_config("cloud", None, requests=3)) as cloud:
        for kept, told in ((3, {"requests": 2}), (2, {}), (KEPT, {})):
            for number in range(5):
                assert ask(cloud.port, f"film {number}", f"r{number}").status == 200
            assert [row["request_id"] for row in records(cloud)] == [f"r{n}" for n in range(5)][-kept:]
            assert call(cloud.port, "GET", "/control/status").json["records_forgotten"] == max(0, 5 - kept)
            begin({"policy": "cloud-only"}, cloud, **told)


def test_models_unknown_paths_and_wrong_verbs() -> None:
    with running(node_config("cloud", None)) as cloud:
        assert call(cloud.port, "GET", "/v1/models").json["data"][0]["id"] == "cloud"
        missing: Answer = call(cloud.port, "GET", "/v1/completions")
        assert (missing.status, missing.json["error"]["type"]) == (404, "not_found")
        assert call(cloud.port, "GET", "/v1/chat/completions").status == 405
