"""A run in a process of its own, for tests that end it.

``python -m tests.network.victim RUN_ID [IMAGE]``

It prints ``up`` when its network stands and a tap and a shell are in it, then waits to be ended.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import FrameType

from testbed.network.kernel.netns import Popen_in
from testbed.network.network import Network
from tests.network.lab import asleep, tree


def stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def main(run_id: str, image: str | None = None) -> None:
    signal.signal(signal.SIGTERM, stop)
    print("starting", flush=True)
    hosts: dict[str, str] = {"hosts": "container" if image else "namespace"}
    with Network(tree(), run_id, image=image, containers=asleep(tree()), **hosts) as network:  # type: ignore[arg-type]
        link = network.links[0]
        Popen_in(
            link.netns_path,
            ["tcpdump", "-i", link.capture_interface, "-w", "/dev/null"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        network.net["device1"].cmd("sleep 600 &")
        print("up", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
