"""The process of an engine's container: llama.cpp's server, which speaks the OpenAI API, on one GGUF file.

Its configuration is a JSON object in the environment. Whatever an engine could carry from one request to the
next is off, so that every method of a run finds it the same.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiers.protocol import TIER_PORT

ENGINE_VARIABLE = "TESTBED_ENGINE"
_LOG_WRITTEN_S = 0.5
"""How long llama.cpp, whose log has a thread of its own, may take to print why it failed."""
_CAUSE = b"error loading model:"


@dataclass(frozen=True)
class EngineConfig:
    """What an engine serves: ``slots`` requests at a time, each of ``context`` tokens with its answer."""

    gguf: str
    served_as: str
    context: int = 2048
    slots: int = 1
    threads: int = 1
    host: str = "0.0.0.0"
    port: int = TIER_PORT


def read_config(environment: Mapping[str, str]) -> EngineConfig:
    """The configuration in ``environment``'s ``TESTBED_ENGINE``."""
    return EngineConfig(**json.loads(environment[ENGINE_VARIABLE]))


def parameters(config: EngineConfig) -> Any:
    """llama.cpp's parameters of that configuration."""
    import xllamacpp

    found = xllamacpp.CommonParams()
    found.model.path, found.model_alias = config.gguf, {config.served_as}
    found.hostnames, found.port = [config.host], config.port
    found.n_ctx, found.n_parallel = config.context * config.slots, config.slots
    found.cpuparams.n_threads = found.cpuparams_batch.n_threads = config.threads
    found.n_threads_http = config.slots + 2  # one more asks for its health
    found.cache_prompt, found.cache_ram_mib = False, 0  # else a prompt is quicker the second time
    found.fit_params = found.ui = found.endpoint_slots = False
    return found


class Causes(threading.Thread):
    """Passes on what llama.cpp prints to standard error, and remembers why it could not load a model."""

    def __init__(self) -> None:
        super().__init__(name="causes", daemon=True)
        self.cause = ""
        self._to = os.dup(2)
        self._from, end = os.pipe()
        os.dup2(end, 2)
        os.close(end)

    def run(self) -> None:
        with open(self._from, "rb") as printed, open(self._to, "wb", buffering=0) as out:
            for line in printed:
                out.write(line)
                if _CAUSE in line and not self.cause:
                    self.cause = line.partition(_CAUSE)[2].decode(errors="replace").strip()


def load_openmp() -> None:
    """Load the OpenMP library that llama.cpp links to: where the system has none, PyTorch brings it."""
    try:
        ctypes.CDLL("libgomp.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError:
        torch = importlib.util.find_spec("torch")
        if torch is not None and torch.origin is not None:
            ctypes.CDLL(str(Path(torch.origin).parent / "lib" / "libgomp.so.1"), mode=ctypes.RTLD_GLOBAL)


def main() -> None:
    config, causes = read_config(os.environ), Causes()
    causes.start()
    load_openmp()
    import xllamacpp

    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: os._exit(0))
    try:
        server = xllamacpp.Server(parameters(config))
    except RuntimeError as error:
        time.sleep(_LOG_WRITTEN_S)
        print(f"llama.cpp cannot serve the GGUF file: {causes.cause or error}", flush=True)
        sys.exit(1)
    print(f"llama.cpp {xllamacpp.__version__} listens at {server.listening_address}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
