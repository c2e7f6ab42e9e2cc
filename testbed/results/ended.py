"""Says of a run that did not come to its end what ended it, and how far it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testbed.results.directory import RunDirectory
from testbed.results.seals import SUMS

FINISHED, RUNNING = "finished", "running"


def ended_early(directory: RunDirectory) -> str | None:
    """What is to be said first of the run in a directory; ``None`` of one that came to its end.

    Raises:
        TestbedError: its manifest is damaged.
    """
    manifest = directory.read_manifest()
    if manifest.get("status") == RUNNING:
        return (
            "the run did not come to its end: its manifest says that it is running, so it goes on or its "
            "process was killed; nothing of it was judged"
        )
    if not (directory.path / SUMS).is_file() and not (directory.path / "fidelity.json").is_file():
        return "the run was not judged to the end: its process was killed meanwhile, or files were removed"
    directory.read_scenario()  # whose methods are told
    return told(manifest)


def told(manifest: Mapping[str, Any]) -> str | None:
    """What a manifest says of the end of a run that ended early, in one sentence; ``None`` if it did not."""
    status = manifest.get("status")
    if status == FINISHED:
        return None
    why = manifest.get("ended_by")
    return "; ".join([f"the run was ended early: {status}{f' ({why})' if why else ''}", *_how_far(manifest)])


def incomplete(manifest: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """By method that a run did not come to or to the end of, the nodes whose records of it are lost."""
    if manifest.get("status") == FINISHED:
        return {}
    lost = {entry["method"]: tuple(entry["lost"]) for entry in manifest.get("broken_off") or ()}
    return {**dict.fromkeys(_not_replayed(manifest), ()), **lost}


def _how_far(manifest: Mapping[str, Any]) -> Iterator[str]:
    for entry in manifest.get("broken_off") or ():
        method, begun, requests = (entry[key] for key in ("method", "begun", "requests"))
        if begun < requests:
            yield f"{method} was broken off after {begun} of {requests} requests"
        if entry["lost"]:
            yield f"the records of {', '.join(entry['lost'])} under {method} are lost"
    if missing := _not_replayed(manifest):
        yield f"not replayed: {', '.join(missing)}"


def _not_replayed(manifest: Mapping[str, Any]) -> list[str]:
    if "broken_off" not in manifest:  # of an older version
        return []
    replayed = manifest.get("started_ns") or {}
    names = [method["name"] for method in manifest["scenario"]["methods"]]
    return [name for name in names if name not in replayed]
