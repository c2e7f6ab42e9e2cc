"""A node as a process: it listens, loads its model meanwhile, serves, and ends.

``python -m tiers.server`` runs a node as ``TESTBED_NODE`` describes it (:mod:`tiers.config`). What it answers
is in :mod:`tiers.routes` and :mod:`tiers.control`.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import NoReturn

from tiers.config import NodeConfig, read_config
from tiers.errors import ConfigError
from tiers.plain import told
from tiers.routes import make_app
from tiers.service import Service
from tiers.wsgi import Server

MAX_OPEN_FILES = 16_384

log = logging.getLogger("tiers")


class Node:
    """A node that listens, loads its model meanwhile, and serves."""

    def __init__(self, config: NodeConfig) -> None:
        """Listen; nothing is answered before :meth:`run`.

        Raises:
            ConfigError: the policy cannot be made.
            OSError: its address is in use.
        """
        self.service = Service(config)
        self.server = Server(make_app(self.service), config.host, config.port, config.request_threads)
        self.port = self.server.port

    def load(self, failed: Callable[[BaseException], None]) -> None:
        """Start to load the model; ``failed`` hears of it, in another thread, if that goes wrong."""

        def finish(loading: Future[None]) -> None:
            if (error := loading.exception()) is not None:
                failed(error)

        self.service.queue.load().add_done_callback(finish)

    def run(self) -> None:
        """Serve until :meth:`close`."""
        self.server.run()

    def close(self) -> None:
        """Close the port, all connections, and the inference queue."""
        self.server.close()
        self.service.disconnect()
        self.service.queue.close()


def main() -> NoReturn:
    """Run the node of the environment until SIGTERM or SIGINT; exit status 2 where it cannot start."""
    faulthandler.enable()  # a library that crashes says where
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a full pool is load, no defect
    for number in (signal.SIGTERM, signal.SIGINT):
        # At once, whatever runs: what is under way belongs to a run that has ended.
        signal.signal(number, lambda *_: _exit(0))
    _allow_connections()
    try:
        node = Node(read_config(os.environ))
    except (ConfigError, OSError) as error:
        print(f"tier cannot start: {error}", file=sys.stderr)
        _exit(2)
    node.load(_give_up)
    node.run()
    _exit(0)


def _allow_connections() -> None:
    """Raise this process's limit on open files: each outstanding request has one from below, one upwards."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _give_up(error: BaseException) -> None:
    if not isinstance(error, ConfigError):
        log.error("while the model was loaded", exc_info=error)
    # Last, and in one line: it is what a run quotes.
    words = " ".join(str(error).split()) if isinstance(error, ConfigError) else told(error)
    print(f"tier cannot start: {words}", file=sys.stderr)
    _exit(2)


def _exit(status: int) -> NoReturn:
    # os._exit: threads that wait for a model or a tier above must not hold the container up.
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
