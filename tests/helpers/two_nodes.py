"""A Ray cluster of two nodes with a processor each on this machine, one of which can be killed and replaced."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import psutil

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

    def freeze_worker(self) -> None:
        """Freeze the first worker of a training that comes to life."""
        until = time.monotonic() + 120.0
        while not (found := [one for one in psutil.Process().children(recursive=True) if _is_worker(one)]):
            assert time.monotonic() < until, "no worker came to life"
            time.sleep(0.01)
        found[0].suspend()


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "RayTrainWorker" in " ".join(process.cmdline())
    return False


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
