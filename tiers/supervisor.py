"""The first process of a container whose tier is to be killed and to return: the network namespace stays.

SIGUSR1 kills the tier. SIGUSR2 starts it again, with the policy that ``/tmp/policy.json`` holds by then. A
tier that ends by itself ends the container, with its status. A killed tier's connections are closed by the
kernel, as those of any process that dies.
"""

import json
import os
import signal
import sys
from pathlib import Path

from tiers.config import NODE_VARIABLE

POLICY = Path("/tmp/policy.json")
SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)


def start() -> int:
    """Start the tier; its process id."""
    environment = dict(os.environ)
    if POLICY.exists():
        node = json.loads(environment[NODE_VARIABLE])
        environment[NODE_VARIABLE] = json.dumps({**node, "policy": json.loads(POLICY.read_text())})
    command = [sys.executable, "-m", "tiers.server"]
    return os.posix_spawn(sys.executable, command, environment, setsigmask=())


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for order in (signal.SIGUSR1, signal.SIGUSR2):  # the first process gets none that it does not handle
        signal.signal(order, lambda *_: None)
    tier = start()
    while True:
        number = signal.sigwait(SIGNALS)
        if number == signal.SIGUSR1 and tier:
            os.kill(tier, signal.SIGKILL)
            os.waitpid(tier, 0)
            tier = 0
        elif number == signal.SIGUSR2 and not tier:
            tier = start()
        elif number == signal.SIGCHLD and tier:
            done, status = os.waitpid(tier, os.WNOHANG)
            if done:
                code = os.waitstatus_to_exitcode(status)
                sys.exit(code if code >= 0 else 128 - code)  # as the kernel's word on a first process is told


if __name__ == "__main__":
    main()
