"""Files in, embeddings out, on all cores.

A worker takes a handful of files from reading to embedding, one thread each: decoding in one worker
overlaps with the network in another, no core waits, and each picture is embedded by exactly the
code (one thread, fp32) that will embed the query.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vizinho.embedder import Embedder
from vizinho.errors import ImageError
from vizinho.images import content_hash, load_image
from vizinho.preprocess import to_pixels

_CHUNK = 32
_HELD_BYTES = 8_000_000
"""What a worker reads before it asks which pictures are known: to ask may be a network's way."""

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
    """How to embed: ``known`` says which of some content hashes the gallery has, ``keep`` is called
    in the worker for each new picture with its item, hash and bytes."""

    embedder: Embedder
    known: Callable[[Sequence[str]], Collection[str]]
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
        held: list[tuple[Outcome[T], bytes]] = []
        for outcome in outcomes:
            with _excused(outcome):
                data = outcome.job.read()
                outcome.hash = content_hash(data)
                held.append((outcome, data))
            watch.lap("read")
            if sum(len(data) for _, data in held) >= _HELD_BYTES:
                fresh += self._decoded(held, watch)
                held = []
        fresh += self._decoded(held, watch)
        if fresh:
            vectors = self.embedder.embed_pixels(np.stack([pixels for _, pixels in fresh]))
            for (outcome, _), vector in zip(fresh, vectors, strict=True):
                outcome.vector = vector
            watch.lap("embed")
        return outcomes, watch.seconds

    def _decoded(
        self, held: Sequence[tuple[Outcome[T], bytes]], watch: _Stopwatch
    ) -> Iterator[tuple[Outcome[T], NDArray[np.uint8]]]:
        """The pictures among those read that have to be embedded."""
        known = self.known([outcome.hash for outcome, _ in held]) if held else ()
        watch.lap("read")
        size = self.embedder.spec.size
        for outcome, data in held:
            if outcome.hash in known:
                continue
            job, pixels = outcome.job, None
            with _excused(outcome):
                pixels = to_pixels(load_image(data, target=size, name=job.name), self.embedder.spec)
            watch.lap("decode")
            if pixels is not None:
                self.keep(job.item, outcome.hash, data)
                watch.lap("write")
                yield outcome, pixels


@contextmanager
def _excused(outcome: Outcome[Any]) -> Iterator[None]:
    """What is wrong with one picture is its outcome, and stops no others."""
    try:
        yield
    except ImageError as error:
        outcome.reason = str(error)
    except OSError as error:
        outcome.reason = f"{outcome.job.name} can't be read: {error.strerror or error}."


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
