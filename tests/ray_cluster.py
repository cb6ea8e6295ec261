"""A real Ray cluster of two nodes on this machine, small enough for a test."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

_ATTEMPTS = 4
_SMALL: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@dataclass
class TwoNodes:
    """``address`` for ``--workers``; ``kill`` takes the second node away as a power cut would."""

    address: str
    cluster: Any
    second: Any

    def kill(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)

    def revive(self) -> None:
        self.second = _patiently(self.cluster.add_node, **_SMALL)


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Head and second node with one core each; Ray's client server listens at ``address``."""
    import ray

    from vizinho.settings import quiet_ray

    quiet_ray()
    # On a machine that trains meanwhile, a process of Ray's takes more than its usual half minute.
    os.environ.setdefault("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "240")
    # Ray's workers are polite (nice 15), and get next to nothing there.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Nor are workers started for work that nobody ordered; they take seconds each.
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    cluster, port = _head()
    try:
        yield TwoNodes(f"ray://127.0.0.1:{port}", cluster, _patiently(cluster.add_node, **_SMALL))
    finally:
        ray.shutdown()
        cluster.shutdown()


def _head() -> tuple[Any, int]:
    """A cluster of one node, and the port of its client server."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()

    def start() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if 10_002 <= port < 20_000:  # Ray keeps these for its workers
            port += 10_000
        cluster.add_node(**_SMALL, include_dashboard=False, ray_client_server_port=port)
        return port

    return cluster, _patiently(start)


def _patiently(start: Any, **options: Any) -> Any:
    """Start a node again where Ray ends it: on a machine that is very busy its helpers are not up
    after the quarter of a minute that is written into it."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(Exception):  # Ray has no type of its own for it
            return start(**options)
    return start(**options)
