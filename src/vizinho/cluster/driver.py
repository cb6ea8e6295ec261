"""The part of a run that stays here: it asks the cluster, and it alone writes the gallery."""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vizinho.bundle import BundleInfo, read_model
from vizinho.cluster.stream import TASK, Stream
from vizinho.cluster.worker import to_vector, versions
from vizinho.errors import ClusterError
from vizinho.gallery.pipeline import Job, Outcome
from vizinho.settings import quiet_ray
from vizinho.sources import Tree

if TYPE_CHECKING:
    from vizinho.gallery.intake import Wanted

_SCHEME = "ray://"
_STORE_BYTES = 100 * 2**20
_TASKS_PER_CORE = 32
"""Tasks a core gets in one round; between two rounds the cluster runs empty for about a second."""
_ATTEMPTS = 5
_KNOCK_SECONDS = 10
_LEAVING_SECONDS = 20


@contextmanager
def ray_workers(
    address: str, tree: Tree, model: Path, precision: str = "fp32"
) -> Iterator[RayEmbedding]:
    """A cluster that embeds the pictures of ``tree`` with the bundle ``model``.

    ``address``: ``ray://HOST:PORT`` of a cluster's client server; ``ray://auto``, the cluster that
    this machine belongs to; ``ray://local``, one of this machine's cores, which ends with the
    context. Raises ClusterError when Ray is not installed or the cluster can't be reached.
    """
    if not address.startswith(_SCHEME) or address == _SCHEME:
        raise ClusterError(
            f"{address!r} is no address of a Ray cluster.",
            "It looks like ray://HOST:10001, ray://auto or ray://local.",
        )
    quiet_ray()
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ClusterError("Ray is not installed.", 'Run: pip install "vizinho[ray]"') from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    where = address.removeprefix(_SCHEME)
    # A Unix socket's path may have 107 characters, of which Ray's own are about 60.
    place = tempfile.mkdtemp(prefix="ray", dir="/tmp") if where == "local" else None
    try:
        if where == "local":
            # Without this word it would join a cluster that is running here, or $RAY_ADDRESS.
            ray.init(
                "local",
                include_dashboard=False,
                object_store_memory=_STORE_BYTES,
                _temp_dir=place,
                **options,
            )
        else:
            _enter(where, options)
    except Exception as error:  # gRPC's, Ray's and Python's own, all for the same few reasons
        ray.shutdown()
        _forget(place)
        raise ClusterError(
            f"The Ray cluster {address} can't be reached: {_told(error)}.",
            "Check the address, and that Ray and Python have the same version there.",
        ) from error
    try:
        yield RayEmbedding(tree, *read_model(model, precision))
    finally:
        ray.shutdown()
        _forget(place)


def _forget(place: str | None) -> None:
    """Remove what a cluster of our own left; its last processes may still be writing there."""
    until = time.monotonic() + _LEAVING_SECONDS
    while place is not None and Path(place).exists():
        shutil.rmtree(place, ignore_errors=True)
        if time.monotonic() > until:
            break
        time.sleep(0.1)


class RayEmbedding:
    """Takes the place of a pipeline of threads: jobs in, outcomes out, in the same order.

    ``nodes`` counts pictures by the machine (Ray's id) that embedded them. What was handed out
    counts once however often it had to be computed: a task whose machine is lost is run elsewhere
    by Ray; if the actor that leads them is lost with it, what it did not deliver is asked for anew.
    """

    def __init__(self, tree: Tree, info: BundleInfo, network: bytes) -> None:
        import ray

        self.nodes: Counter[str] = Counter()
        self.task = TASK
        """Pictures in one task."""
        self._tree, self._info, self._network = tree, info, network
        self._stream: Any = None
        cluster: Any = ray
        self._tasks = _TASKS_PER_CORE * max(1, int(cluster.cluster_resources().get("CPU", 1)))

    def __call__(self, jobs: Iterable[Job[Wanted]]) -> Iterator[list[Outcome[Wanted]]]:
        """Outcomes of ``jobs``. Raises ClusterError, and what ended the run on a machine."""
        jobs = iter(jobs)
        while waiting := {str(job.item.key): job for job in islice(jobs, self.task * self._tasks)}:
            attempts = 0
            while waiting:
                try:
                    for rows in self._rounds(list(waiting)):
                        yield [self._outcome(row, waiting) for row in rows]
                        attempts = 0
                except _lost() as error:
                    attempts += 1
                    self._stream = None
                    if attempts == _ATTEMPTS:
                        raise ClusterError(
                            f"The Ray cluster gave up: {_told(error)}.",
                            "Run it again: it goes on from what was done.",
                        ) from error

    def _rounds(self, keys: list[str]) -> Iterator[list[dict[str, Any]]]:
        import ray

        if self._stream is None:
            leader = ray.remote(num_cpus=0)(Stream)
            # By reference: Ray's client sends an argument with each call that it makes again.
            network = ray.put(self._network)
            self._stream = leader.remote(self._tree, self._info, network, versions(), self.task)
        ray.get(self._stream.begin.remote(keys))
        while (rows := ray.get(self._stream.take.remote())) is not None:
            yield rows

    def _outcome(self, row: dict[str, Any], waiting: dict[str, Job[Wanted]]) -> Outcome[Wanted]:
        if row["failure"]:
            raise ClusterError(row["failure"], row["hint"])
        self.nodes[row["node"]] += 1
        job = waiting.pop(row["key"])
        return Outcome(job, row["hash"], to_vector(row["vector"]), row["reason"])


def _enter(where: str, options: dict[str, Any]) -> None:
    import ray

    if where == "auto":
        ray.init("auto", **options)
        return
    _knock(where)
    for patience in reversed(range(_ATTEMPTS)):
        try:
            ray.init(_SCHEME + where, **options)
            return
        except ConnectionError:
            # The head starts a process for each client, and gives up on it when it is busy.
            ray.shutdown()
            if not patience:
                raise


def _knock(where: str) -> None:
    """Raises OSError at once where nobody listens; Ray would try for half a minute."""
    host, _, port = where.rpartition(":")
    if not host or not port.isdecimal():
        raise OSError("a host and a port are wanted")
    socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()


def _lost() -> tuple[type[Exception], ...]:
    """What is raised when a machine is gone, rather than when the work is wrong."""
    from ray import exceptions as lost

    return (lost.RayActorError, lost.ObjectLostError, lost.NodeDiedError, lost.WorkerCrashedError)


def _told(error: BaseException) -> str:
    """What an error says: its first line, or the last where that is of a traceback elsewhere."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    remote = any(line.startswith("Traceback") for line in lines)
    return lines[-1 if remote else 0].strip().rstrip(".")[:300]
