"""A Ray cluster of two nodes with a processor each on this machine, one of which can be killed and replaced."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

_ONE = {"num_cpus": 1, "object_store_memory": 128 * 2**20}


class Nodes:
    """The cluster, and the environment of who joins it."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.second = cluster.add_node(**_ONE)
        self.environment = {"RAY_ADDRESS": cluster.address}

    def replace_node(self) -> None:
        """Kill the second node, as when its machine is gone, and add another one."""
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = self.cluster.add_node(**_ONE)


@contextlib.contextmanager
def cluster() -> Iterator[Nodes]:
    """Yield the cluster while it runs."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={**_ONE, "include_dashboard": False})
    try:
        yield Nodes(started)
    finally:
        started.shutdown()
