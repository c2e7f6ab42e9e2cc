"""A Ray cluster of two nodes on this machine's loopback, up as long as standard input is open.

Prints its address. In a process of its own, which alone has these settings of Ray's.
"""

from __future__ import annotations

import os
import sys

ALONE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so that Ray takes the loopback's address for this machine's
}
"""What Ray's processes and those that connect to them must have in their environment."""


def main() -> None:
    os.environ.update(ALONE)
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for more in ({"include_dashboard": False}, {}):
        cluster.add_node(
            num_cpus=1,
            resources={"testbed": 1},
            object_store_memory=80 << 20,  # bytes; the least that Ray takes is about 75 MiB
            node_ip_address="127.0.0.1",
            **more,
        )
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
