"""Refuses GraphML that networkx's parser must not see, or of which networkx would make something else.

Files come from strangers. A document type, in which entities would be declared that expand without bounds or
name files of this host, is refused before the parser that networkx uses, and warns of, sees the file.
networkx leaves a second graph out, merges nodes of the same id, and makes a node of every end of an edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.parsers import expat

from testbed.errors import TestbedError
from testbed.scenario.reading.encoding import other_than_utf_8

MAX_ELEMENTS = 200_000
MAX_DEPTH = 16
_GRAPHML = "http://graphml.graphdrawing.org/xmlns "


def require_harmless(content: bytes, name: str) -> None:
    """Refuse what is not XML, is not GraphML, declares entities, or is too large or too deep.

    Raises:
        TestbedError: naming the file and the mend.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = elements = 0

    def start(tag: str, _attributes: Mapping[str, str]) -> None:
        nonlocal depth, elements
        if not elements and (local := tag.rpartition(" ")[2]) != "graphml":
            raise TestbedError(f"{name}: is XML, but its root is <{local[:40]}>; name a GraphML file")
        depth, elements = depth + 1, elements + 1
        if depth > MAX_DEPTH or elements > MAX_ELEMENTS:
            raise TestbedError(
                f"{name}: has more than {MAX_ELEMENTS} elements, or {MAX_DEPTH} within one another; "
                "take a smaller map"
            )

    def end(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    def doctype(*_declared: object) -> None:
        raise TestbedError(f"{name}: declares a document type, which no map needs; remove <!DOCTYPE …>")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # or an encoding that is not known
        if "compressed" in (other := other_than_utf_8(content) or ""):
            raise TestbedError(f"{name}: is not XML but {other}") from None
        raise TestbedError(f"{name}: is not XML ({error}); name a GraphML file") from None


def require_whole(content: bytes, name: str) -> None:
    """Refuse a second graph, nodes without an id of their own, and edges that lead to no node.

    Args:
        content: what :func:`require_harmless` let through.

    Raises:
        TestbedError: naming the file and the mend.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    nodes: set[str] = set()
    ends: dict[str, None] = {}
    around: list[bool] = []  # for each element that is open, whether networkx reads a graph in it

    def start(tag: str, attributes: Mapping[str, str]) -> None:
        kind = tag.removeprefix(_GRAPHML)
        if kind == "graph":
            if not around[-1]:
                raise TestbedError(f"{name}: has a second graph, which would be left out; keep one")
            if len(around) == 1:
                around[-1] = False
        elif kind == "node":
            identity = attributes.get("id")
            if identity is None:
                raise TestbedError(f"{name}: a node has no id; add one")
            if identity in nodes:
                raise TestbedError(f"{name}: the id {identity!r} is there twice; give each node its own")
            nodes.add(identity)
        elif kind == "edge":
            for key in ("source", "target"):
                if key not in attributes:
                    raise TestbedError(f"{name}: an edge has no {key}; add it")
                ends[attributes[key]] = None
        around.append(not around or attributes.get("yfiles.foldertype") == "group")

    def end(_tag: str) -> None:
        around.pop()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(content, True)
    if stray := next((end for end in ends if end not in nodes), None):
        raise TestbedError(
            f"{name}: an edge leads to {stray!r}, which is no node of the file; add it, or remove the edge"
        )
