"""Files in, embeddings out, on all cores.

A worker takes a handful of files from reading to embedding, one thread each: decoding in one worker
overlaps with the network in another, no core waits, and each picture is embedded by exactly the
code (one thread, fp32) that will embed the query.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vizinho.embedder import Embedder
from vizinho.errors import ImageError
from vizinho.images import content_hash, load_image
from vizinho.preprocess import to_pixels

_CHUNK = 32

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """One picture to bring in: ``name`` for messages, ``read`` gives its bytes, ``item`` returns
    with the outcome."""

    item: T
    name: str
    read: Callable[[], bytes]


@dataclass
class Outcome(Generic[T]):
    """What became of a job: ``reason`` if it failed, else ``hash``, and ``vector`` [D] unless the
    gallery knew the hash."""

    job: Job[T]
    hash: str = ""
    vector: NDArray[np.float32] | None = None
    reason: str = ""


@dataclass
class Pipeline(Generic[T]):
    """How to embed: ``known`` says whether the gallery has a content hash, ``keep`` is called in
    the worker for each new picture with its item, hash and bytes."""

    embedder: Embedder
    known: Callable[[str], bool]
    keep: Callable[[T, str, bytes], None]
    stages: dict[str, float]
    workers: int = 0

    def run(self, jobs: Iterable[Job[T]]) -> Iterator[list[Outcome[T]]]:
        """Outcomes in the order of the jobs, a chunk at a time.

        At most a few chunks are under way, so memory stays bounded however many jobs there are.
        Broken pictures are outcomes; errors of the model or the disk are raised.
        """
        workers = self.workers or _cores()
        jobs = iter(jobs)
        pending: deque[Future[tuple[list[Outcome[T]], dict[str, float]]]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="index") as pool:
            try:
                while True:
                    while len(pending) < 2 * workers and (chunk := list(islice(jobs, _CHUNK))):
                        pending.append(pool.submit(self._chunk, chunk))
                    if not pending:
                        return
                    outcomes, seconds = pending.popleft().result()
                    for stage, spent in seconds.items():
                        self.stages[stage] = self.stages.get(stage, 0.0) + spent
                    yield outcomes
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _chunk(self, jobs: Sequence[Job[T]]) -> tuple[list[Outcome[T]], dict[str, float]]:
        watch = _Stopwatch()
        outcomes = [Outcome(job) for job in jobs]
        fresh: list[tuple[Outcome[T], NDArray[np.uint8]]] = []
        for outcome in outcomes:
            pixels = self._pixels(outcome, watch)
            if pixels is not None:
                fresh.append((outcome, pixels))
        if fresh:
            vectors = self.embedder.embed_pixels(np.stack([pixels for _, pixels in fresh]))
            for (outcome, _), vector in zip(fresh, vectors, strict=True):
                outcome.vector = vector
            watch.lap("embed")
        return outcomes, watch.seconds

    def _pixels(self, outcome: Outcome[T], watch: _Stopwatch) -> NDArray[np.uint8] | None:
        """Read, recognise and decode one picture; None when there is nothing to embed."""
        job = outcome.job
        try:
            data = job.read()
            outcome.hash = content_hash(data)
            known = self.known(outcome.hash)
            watch.lap("read")
            if known:
                return None
            size = self.embedder.spec.size
            pixels = to_pixels(load_image(data, target=size, name=job.name), self.embedder.spec)
            watch.lap("decode")
        except ImageError as error:
            outcome.reason = str(error)
            return None
        except OSError as error:
            outcome.reason = f"{job.name} can't be read: {error.strerror or error}."
            return None
        self.keep(job.item, outcome.hash, data)
        watch.lap("write")
        return pixels


class _Stopwatch:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._start
        self._start = now


def _cores() -> int:
    """Cores this process may use: fewer than the machine has under taskset or in a container."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
