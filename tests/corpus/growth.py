"""What Hypothesis grows: valid inputs of each kind with something wrong in them, mostly one thing."""

from __future__ import annotations

import copy
import csv
import io
import json
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st

from testbed.scenario.matrix.table import METADATA_KEY, SCHEMA, digest
from testbed.study.sweep.directory import FORMAT
from tests import ROOT, SCENARIOS
from tests.corpus.feeds import GONE, PCAP, RUN, TODAYS
from tests.scenario.traces.samples import AZURE_2024, BURSTGPT, MOONCAKE, NAMED
from tests.wire.crafted import Connection, answer, request
from tiers.protocol import COMPLETIONS_PATH

Named = tuple[str, bytes]
"""An input's name, of which all but a run's and an import's is of no account, and what is in its file."""

_DEEP = 40
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 7, 0.5, 1e308, float("inf"), float("nan"), -0.0, 10**18, 2**63, 10**400,
    "", " ", "x", "nan", "1e999", "0x10", "١", "NO", "../..", "/", "/dev/zero", "/dev/fd/0", "~nobody/x",
    "a\x00b", "a\nb", "\x1b[2J", "\ud800", "é" * 3000, "1" * 5000, "20mbit", "999999999999gbit", "-1ms",
    "1e5ms", "0ms", "1bdp", "5%", "100%", "0%", [], [[]], [None], ["x"] * 300, {}, {"name": "x"},
    {"": ""}, {"name": ["x"]},
]  # fmt: skip
"""Values to stand where another one should."""


def _deep(kind: type) -> Any:
    value: Any = 1
    for _ in range(_DEEP):
        value = [value] if kind is list else {"x": value}
    return value


odd_values = st.sampled_from([*ODD, _deep(list), _deep(dict)]) | st.integers() | st.floats() | st.text()


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that is in a tree."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for step, below in steps for place in _places(below, (*path, step))]


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


@st.composite
def changed_trees(draw: st.DrawFn, trees: list[Any], most: int = 2) -> Any:
    """A tree of dicts and lists with values replaced, removed, repeated, moved or added."""
    tree = copy.deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, most))):
        places = [place for place in _places(tree) if place]
        if not places:
            break
        *above, last = draw(st.sampled_from(places))
        holder = _at(tree, tuple(above))
        change = draw(st.sampled_from(["replace", "replace", "remove", "repeat", "move", "add", "rename"]))
        if change == "replace":
            holder[last] = copy.deepcopy(draw(odd_values))  # a further change may be of what is in it
        elif change == "move":
            holder[last] = copy.deepcopy(_at(tree, draw(st.sampled_from(places))))
        elif change == "add" and isinstance(holder, dict):
            key = draw(st.sampled_from(sorted({p[-1] for p in places if isinstance(p[-1], str)})))
            holder[key] = copy.deepcopy(_at(tree, draw(st.sampled_from(places))))
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(st.text(max_size=5) | st.sampled_from([1, None, True, 1.5]))] = holder.pop(last)
        elif change == "repeat" and isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        else:
            del holder[last]
    return tree


@st.composite
def damaged(draw: st.DrawFn, contents: st.SearchStrategy[bytes], most: int = 3) -> bytes:
    """Bytes with some overwritten, removed, repeated, put in, or cut off."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(1, 64)))
        change = draw(st.sampled_from(["overwrite", "remove", "repeat", "insert", "cut", "flip"]))
        if change == "overwrite":
            content[start:end] = draw(st.binary(max_size=8) | _scraps)
        elif change == "remove":
            del content[start:end]
        elif change == "repeat":
            content[end:end] = content[start:end] * draw(st.integers(1, 20))
        elif change == "insert":
            content[start:start] = draw(st.binary(max_size=8) | _scraps)
        elif change == "cut":
            del content[start:]
        elif start < len(content):
            content[start] ^= 1 << draw(st.integers(0, 7))
    return bytes(content)


_scraps = st.sampled_from(
    [b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\t", b"\xed\xa0\x80", b"{", b"[", b"}", b"]", b'"',
     b"\\", b"*a", b"&a ", b"<<: *a", b"!!python/object:os.system", b"!!binary x", b"? ", b"--- ", b": ",
     b"1e999", b"NaN", b"-", b"9" * 400, b"9" * 5000, b"<!DOCTYPE x>", b"&lt;", b"</graph>", b"<node/>",
     b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"Transfer-Encoding: chunked\r\n",
     b"Content-Length: 5\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"HTTP/1.1 200 OK\r\n"]
)  # fmt: skip


def _yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree, sort_keys=False).encode()


_SCENARIOS = sorted(SCENARIOS.glob("*.yaml"))
scenarios = (
    changed_trees([yaml.safe_load(path.read_bytes()) for path in _SCENARIOS]).map(_yaml)
    | damaged(st.sampled_from([path.read_bytes() for path in _SCENARIOS]))
)  # fmt: skip


@st.composite
def override_lines(draw: st.DrawFn) -> bytes:
    keys = draw(st.sampled_from([
        "links.core.loss", "links.core", "links.core.up.rate", "methods.recserve.beta", "replay.mode",
        "tiers.device.nodes", "tiers.edge.model", "trace", "trace.file", "events", "graph", "name",
        "task.labels",
    ]))  # fmt: skip
    good = st.sampled_from([b"1%", b"{rate: 5mbit}", b"0.5", b"lockstep", b"2", b"mine"])
    value = draw(good | odd_values.map(lambda value: _yaml(value).strip()) | st.binary(max_size=20))
    return keys.encode() + draw(st.sampled_from([b"=", b"=", b"=", b"", b"==", b".=", b" = "])) + value


overrides = damaged(st.lists(override_lines(), min_size=1, max_size=2).map(b"\n".join), most=1)


def _json_lines(values: list[Any]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


_TRACE = [json.loads(line) for line in (ROOT / "traces" / "quickstart.jsonl").read_bytes().splitlines()[:6]]
traces = damaged(
    changed_trees([_TRACE]).map(lambda t: _json_lines(t if isinstance(t, list) else [t])), most=1
)

_RECORDED = [
    {"text": "good", "answer": "positive", "confidence": 0.9, "service_ms": 3},
    {"prompt_sha256": "ab" * 32, "answer": "negative", "confidence": 1},
]
recorded = damaged(
    changed_trees([_RECORDED]).map(lambda t: _json_lines(t if isinstance(t, list) else [t])), most=1
)

_ROWS = [{"question": "Is it, then?", "label": "no"}, {"question": 'So "it" is', "label": "yes"}]


def _csv(rows: list[Any]) -> bytes:
    content = io.StringIO()
    writer = csv.writer(content)
    writer.writerow(_ROWS[0])
    writer.writerows(row.values() if isinstance(row, dict) else [row] for row in rows)
    return content.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def data_sets(draw: st.DrawFn) -> Named:
    """Rows of a user's own, in one of three formats."""
    ending = draw(st.sampled_from(["csv", "jsonl", "parquet"]))
    tree = draw(changed_trees([_ROWS]))
    rows = tree if isinstance(tree, list) else [tree]
    if ending == "parquet":
        content = io.BytesIO()
        try:
            pq.write_table(pa.Table.from_pylist([row for row in rows if isinstance(row, dict)]), content)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pq.write_table(pa.Table.from_pylist(_ROWS), content)
        grown = content.getvalue()
    else:
        grown = _csv(rows) if ending == "csv" else _json_lines(rows)
    return f"grown.{ending}", draw(damaged(st.just(grown), most=1))


_RECORDED_TRACES = {
    "azure-grown.csv": AZURE_2024,
    "burstgpt-grown.csv": BURSTGPT,
    "csv-grown.csv": NAMED,
    "mooncake-grown.jsonl": MOONCAKE,
}


@st.composite
def imports(draw: st.DrawFn) -> Named:
    """Rows of a trace that others recorded, with odd cells, or damaged."""
    name = draw(st.sampled_from(sorted(_RECORDED_TRACES)))
    text = _RECORDED_TRACES[name]
    if name.endswith(".csv"):
        tree = draw(changed_trees([list(csv.reader(text.splitlines()))]))
        content = io.StringIO()
        csv.writer(content).writerows(row if isinstance(row, list) else [row] for row in tree)
        grown = content.getvalue().encode("utf-8", "surrogatepass")
    else:
        grown = _json_lines(draw(changed_trees([[json.loads(line) for line in text.splitlines()]])))
    return name, draw(damaged(st.just(grown), most=1))


_MAP = (SCENARIOS / "graphs" / "europe.graphml").read_bytes()


@st.composite
def changed_maps(draw: st.DrawFn) -> bytes:
    """The map with texts and attributes replaced."""
    lines = _MAP.decode().split("\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        odd = draw(st.sampled_from([
            "nan", "inf", "-inf", "1e999", "", " ", "x", "91", "-181", "9" * 400, "0", "n0", "n1", "Paris",
            "d0", "true", "&#0;", "&x;", "é", "1e308", "1_0", "١",
        ]))  # fmt: skip
        for mark, end in draw(st.permutations([('"', '"'), (">", "<")])):
            start = lines[at].find(mark, draw(st.integers(0, max(0, len(lines[at]) - 1))))
            stop = lines[at].find(end, start + 1)
            if 0 <= start < stop:
                lines[at] = lines[at][: start + 1] + odd + lines[at][stop:]
                break
        else:
            lines.insert(at, lines[draw(st.integers(0, len(lines) - 1))])
    return "\n".join(lines).encode()


maps = changed_maps() | damaged(st.just(_MAP))

_numbers = st.lists(
    st.integers(-3, 200).map(str)
    | st.sampled_from(["", "nan", "inf", "1e5", "-0", "0.5", ".5", "5.", "1e-999", "86400000", "86400001",
                       "4294967296", "9" * 80, "0x1", "١", "1_0", "+1", " 1 ", "1 2", "#"]),
    max_size=12,
)  # fmt: skip
number_files = damaged(_numbers.map(lambda lines: "\n".join(lines).encode()), most=1)


def _conversation(chunked: bool) -> list[bytes]:
    """The frames of two requests and their answers on one connection."""
    framing: Any = "chunked" if chunked else "length"
    connection = Connection()
    for number in range(2):
        connection.send(True, request("So good. " * 200, f"q{number}", framing=framing).wire)
        connection.send(False, answer("positive", f"q{number}", framing=framing).wire)
    connection.close()
    return [bytes(frame) for frame in connection.frames]


_CONVERSATIONS = [_conversation(chunked) for chunked in (False, True)]


@st.composite
def captures(draw: st.DrawFn) -> bytes:
    """A capture with frames damaged, left out, repeated or in another order, or its own headers damaged."""
    frames = list(draw(st.sampled_from(_CONVERSATIONS)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(frames) - 1))
        change = draw(st.sampled_from(["damage", "damage", "headers", "text", "remove", "repeat", "move"]))
        if change == "damage":
            frames[at] = draw(damaged(st.just(frames[at]), most=1))
        elif change == "headers" and len(frames[at]) >= 54:
            start = draw(st.integers(0, 53))
            byte = draw(st.binary(min_size=1, max_size=1))
            frames[at] = frames[at][:start] + byte + frames[at][start + 1 :]
        elif change == "text" and len(frames[at]) > 60:
            start = draw(st.integers(54, len(frames[at]) - 1))
            scrap = draw(_scraps)[: len(frames[at]) - start]
            frames[at] = frames[at][:start] + scrap + frames[at][start + len(scrap) :]
        elif change == "repeat":
            frames.insert(draw(st.integers(0, len(frames))), frames[at])
        elif change == "move":
            frames.insert(draw(st.integers(0, len(frames) - 1)), frames.pop(at))
        elif len(frames) > 1:
            del frames[at]
    order = draw(st.sampled_from("<<<>"))
    magic = draw(st.sampled_from([0xA1B2C3D4, 0xA1B2C3D4, 0xA1B23C4D, 0x0A0D0D0A, 0xA1B2CD34]))
    snap, link = draw(st.sampled_from([262144, 0, 2**32 - 1])), draw(st.sampled_from([1, 1, 1, 113, 0x10001]))
    content = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snap, link)
    for one in frames:
        kept, whole = len(one), len(one)
        if draw(st.integers(0, 40)) == 0:
            kept, whole = draw(
                st.sampled_from([(0, 0), (kept, 2**32 - 1), (2**31, 2**31), (kept + 9, kept + 9)])
            )
        content += struct.pack(order + "IIII", 0, 0, kept, whole) + one
    return draw(damaged(st.just(content), most=1)) if draw(st.booleans()) else content


_JSON_FILES = ("manifest.json", "summary.json", "fidelity.json", "calibration.json")
_TABLES = ("requests.parquet", "links.parquet", "tiers.parquet", "events.parquet")
_OTHERS = ("trace.jsonl", "SHA256SUMS", PCAP)
_CHANGED = {*_JSON_FILES, *_TABLES, *_OTHERS}


@st.composite
def changed_tables(draw: st.DrawFn, path: Path) -> bytes:
    """A table with a column that is gone, of another name or type, or with other values."""
    table = pq.read_table(path)
    at = draw(st.integers(0, table.num_columns - 1))
    column = table.column_names[at]
    change = draw(st.sampled_from(["drop", "rename", "type", "values", "empty"]))
    if change == "drop":
        table = table.drop_columns([column])
    elif change == "rename":
        table = table.rename_columns({column: draw(st.sampled_from(table.column_names))})
    elif change == "empty":
        table = table.slice(0, 0)
    else:
        odd: list[Any] = [
            None,
            "x",
            "",
            1,
            -1,
            2**62,
            0.5,
            float("nan"),
            float("inf"),
            [],
            [1.5],
            ["x"],
            True,
        ]
        value = draw(st.sampled_from(odd))
        kind = pa.array([value]).type if change == "type" else table.schema.field(at).type
        try:
            table = table.set_column(at, column, pa.array([value] * table.num_rows, kind))
        except (pa.ArrowException, TypeError):
            table = table.drop_columns([column])
    content = io.BytesIO()
    pq.write_table(table, content)
    return content.getvalue()


@st.composite
def runs(draw: st.DrawFn, run: Path) -> Named:
    """A file of a run, changed, damaged or gone."""
    name = draw(st.sampled_from(sorted(path.name for path in run.rglob("*") if path.name in _CHANGED)))
    change = draw(st.sampled_from(["change", "change", "change", "damage", "gone"]))
    if change == "gone":
        return f"grown.{name}{GONE}", b""
    if change == "damage" or name in _OTHERS:
        return f"grown.{name}", draw(damaged(st.just(min(run.rglob(name)).read_bytes()), most=1))
    if name in _TABLES:
        return f"grown.{name}", draw(changed_tables(run / name))
    tree = draw(changed_trees([json.loads((run / name).read_bytes())]) | odd_values)
    return f"grown.{name}", json.dumps(tree).encode()


_SWEEP = {
    "format": FORMAT,
    "scenario": "run-v6.yaml",
    "scenario_sha256": "ab" * 32,
    "given": ["methods.recserve.beta=0.5"],
    "methods": None,
    "requests": None,
    "shard": None,
    "points": [{"number": 1, "settings": {"methods.recserve.beta": "0.5"}, "repeat": 0, "seed": 1}],
}
sweeps = damaged(changed_trees([_SWEEP]).map(lambda tree: json.dumps(tree).encode()), most=1)


_BODY = {"model": "tier", "messages": [{"role": "user", "content": "good"}], "stream": False}


@st.composite
def http_requests(draw: st.DrawFn) -> bytes:
    """What comes in at a server's port: requests, one or several, of which something is wrong."""
    several = []
    for _ in range(draw(st.integers(1, 2))):
        tree = draw(changed_trees([_BODY]))
        body = json.dumps(tree, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
        path = draw(
            st.sampled_from(
                [COMPLETIONS_PATH] * 6 + ["/health", "/control/reset", "/control/warmup", "/%ff", "*"]
            )
        )
        verb = draw(st.sampled_from(["POST"] * 6 + ["GET", "PUT", "OPTIONS", "CONNECT", "post", ""]))
        head = f"{verb} {path} HTTP/{draw(st.sampled_from(['1.1'] * 5 + ['1.0', '2.0', '9']))}\r\n".encode()
        head += b"Host: x\r\n" + b"".join(draw(st.lists(_header_lines, max_size=3)))
        if draw(st.integers(0, 5)) == 0:
            head += b"Transfer-Encoding: chunked\r\n"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        else:
            head += b"Content-Length: %d\r\n" % (len(body) + draw(st.sampled_from([0] * 8 + [1, -1, 10**9])))
        several.append(head + b"\r\n" + body)
    return draw(damaged(st.just(b"".join(several)), most=1))


_header_lines = st.sampled_from(
    [b"X-Request-Id: a\r\n", b"X-Request-Id: \r\n", b"X-Request-Id: " + b"x" * 5000 + b"\r\n",
     b"X-Request-Id: \xff\r\n", b"X-Deadline-Ms: 1000\r\n", b"X-Deadline-Ms: 0\r\n", b"X-Deadline-Ms: -1\r\n",
     b"X-Deadline-Ms: " + b"9" * 5000 + b"\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: gzip\r\n",
     b"Content-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Host: y\r\n",
     b" folded\r\n", b": empty\r\n", b"NoColon\r\n", b"X: \0\r\n",
     b"Content-Length: " + b"9" * 5000 + b"\r\n"]
)  # fmt: skip


@st.composite
def changed_matrices(draw: st.DrawFn) -> bytes:
    """An answer matrix with something else in its header or rows, and the checksum of what it then has."""
    path = ROOT / "tests" / "corpus" / "kept" / "matrix" / "taken" / "two-models.parquet"
    header = json.loads((pq.read_metadata(path).metadata or {})[METADATA_KEY])
    tree = draw(changed_trees([{"header": header, "rows": pq.read_table(path).to_pylist()}]))
    try:
        table = pa.Table.from_pylist(tree["rows"], schema=draw(st.sampled_from([SCHEMA, None])))
        told = tree["header"]
        if draw(st.booleans()) and table.schema.equals(SCHEMA):
            told["sha256"] = digest(told, table)
        text = json.dumps(told)
        made = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: text.encode()}), made)
    except (pa.ArrowException, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return path.read_bytes()[: draw(st.integers(0, 5000))]
    return draw(damaged(st.just(made.getvalue()), most=1))


def _unnamed(contents: st.SearchStrategy[bytes], ending: str) -> st.SearchStrategy[Named]:
    return contents.map(lambda content: (f"grown.{ending}", content))


GROWTH: dict[str, st.SearchStrategy[Named]] = {
    "scenario": _unnamed(scenarios, "yaml"),
    "override": _unnamed(overrides, "txt"),
    "trace": _unnamed(traces, "jsonl"),
    "map": _unnamed(maps, "graphml"),
    "rate-file": _unnamed(number_files, "mahi"),
    "delay-file": _unnamed(number_files, "delays"),
    "pcap": _unnamed(captures(), "pcap"),
    "recorded": _unnamed(recorded, "jsonl"),
    "matrix": _unnamed(changed_matrices(), "parquet"),
    "data-set": data_sets(),
    "import": imports(),
    "run": runs(RUN),
    "sealed-run": runs(TODAYS),
    "sweep": _unnamed(sweeps, "json"),
    "http": _unnamed(http_requests(), "http"),
}
"""By kind of input."""
