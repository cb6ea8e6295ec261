"""How fast is a gallery in Milvus, by size, index and consistency level?

Runs the server of the wheel ``milvus==2.3.5`` on this machine, beside the client (one core each, if
there are two), or takes ``--server milvus://HOST:PORT``. Vectors are clustered like embeddings. The
collections it makes are dropped again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import common
from vizinho.engines import Row
from vizinho.engines.milvus import MilvusEngine
from vizinho.engines.milvus_address import MilvusAddress, parse_milvus

K = 10
BATCH = 5000
CLUSTERS = 1000


def clustered(count: int, dimension: int, seed: int) -> np.ndarray:
    """Unit vectors around a thousand centres, as a network for classes makes them."""
    centres = np.random.default_rng(0).normal(0, 1, (CLUSTERS, dimension))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, CLUSTERS, count)] + rng.normal(0, 0.5, (count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


@contextmanager
def server(named: str | None) -> Iterator[tuple[str, int | None]]:
    """An address without a name, and the process that serves it if it is ours."""
    if named is not None:
        yield named.rstrip("/"), None
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from milvus_server import MilvusServer

    with tempfile.TemporaryDirectory(prefix="vizinho-bench-") as folder:
        # The tests' server ticks ten times as often as one that nobody configured.
        ours = MilvusServer(Path(folder), **{"proxy.timeTickInterval": "200"})
        start = time.perf_counter()
        ours.start()
        print(f"The server was ready in {time.perf_counter() - start:.1f} s.")
        try:
            yield ours.uri, ours.pid
        finally:
            ours.stop()


def fill(engine: MilvusEngine, vectors: np.ndarray) -> float:
    """Rows a second."""
    start = time.perf_counter()
    for first in range(0, len(vectors), BATCH):
        part = vectors[first : first + BATCH]
        rows = [
            Row(
                f"photos/{number:09d}.jpg",
                f"/images/{number}",
                f"{number:064x}",
                f"class {number % 10}",
            )
            for number in range(first, first + len(part))
        ]
        engine.add(rows, part)
    return len(vectors) / (time.perf_counter() - start)


def timed(ask: Callable[[int], Any], count: int, pid: int | None) -> dict[str, float]:
    """p50 and p99 of calls one after the other, and what each takes of the processors, in ms.

    After a few for warming up. The processors' times hold on a busy machine, too.
    """
    for i in range(5):
        ask(i)
    seconds = []
    mine, served = time.process_time(), processor_seconds(pid)
    for i in range(count):
        start = time.perf_counter()
        ask(i)
        seconds.append(time.perf_counter() - start)
    mine, served = time.process_time() - mine, processor_seconds(pid) - served
    p50, p99 = np.percentile(seconds, [50, 99])
    figures = {"p50": p50, "p99": p99, "client_cpu": mine / count}
    if pid is not None:
        figures["server_cpu"] = max(served - idle(pid) * sum(seconds), 0) / count
    return {f"{name}_ms": round(float(value) * 1000, 2) for name, value in figures.items()}


def processor_seconds(pid: int | None) -> float:
    """What a process has used of the processors."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@cache
def idle(pid: int) -> float:
    """The share of a processor that a server takes for nothing."""
    before = processor_seconds(pid)
    time.sleep(5)
    return (processor_seconds(pid) - before) / 5


def asking(
    engine: MilvusEngine, queries: np.ndarray, filter: dict[str, Any] | None = None
) -> Callable[[int], Any]:
    return lambda i: engine.search(queries[i % len(queries)][None], K, filter=filter)


def memory_mb(pid: int | None) -> int | None:
    if pid is None:
        return None
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return None


def recall(engine: MilvusEngine, vectors: np.ndarray, queries: np.ndarray) -> float:
    """Of the ten nearest by brute force, how many were found."""
    found = engine.search(queries, K)
    right = 0
    for query, hits in zip(queries, found, strict=True):
        nearest = np.argpartition(((vectors - query) ** 2).sum(axis=1), K)[:K]
        right += len({int(hit.key[7:16]) for hit in hits} & set(nearest.tolist()))
    return right / (K * len(queries))


def measure(address: MilvusAddress, size: int, options: Any, pid: int | None) -> dict[str, Any]:
    vectors = clustered(size, options.dimension, 1)
    queries = clustered(options.queries, options.dimension, 2)
    MilvusEngine.drop(address)
    engine = MilvusEngine.create(replace(address, index="flat"), options.dimension)
    result: dict[str, Any] = {"size": size, "rows_per_s": round(fill(engine, vectors))}
    if size <= 20_000:
        result["unsealed"] = timed(asking(engine, queries), options.queries // 4, pid)
    result["sealed_s"] = round(seconds_until_indexed(engine), 1)
    for level in ("session", "bounded", "strong"):
        other = MilvusEngine.open(replace(address, index="flat", consistency=level))
        count = options.queries if level != "strong" else min(options.queries, 40)
        result[level] = timed(asking(other, queries), count, pid)
        other.close()
        print(size, level, result[level], flush=True)
    result["filtered"] = timed(asking(engine, queries, {"label": "class 3"}), options.queries, pid)

    def write_and_look(i: int) -> None:
        engine.add([Row("photos/000000000.jpg", f"/{i}", "0" * 64)], vectors[:1])
        engine.search(queries[:1], K)

    result["write_then_search"] = timed(write_and_look, 20, pid)
    result["flat_recall"] = recall(engine, vectors, queries[:50])
    engine.close()
    for kind in options.indexes:
        other = MilvusEngine.open(replace(address, index=kind))
        start = time.perf_counter()
        other.tune()
        seconds_until_indexed(other)
        result[kind] = {
            "changed_s": round(time.perf_counter() - start, 1),
            **timed(asking(other, queries), options.queries, pid),
            "recall": recall(other, vectors, queries[:50]),
            "server_mb": memory_mb(pid),
        }
        other.close()
    result["server_mb"] = memory_mb(pid)
    MilvusEngine.drop(address)
    if pid is not None:
        result["idle_cores"] = round(idle(pid), 3)
    return result


def seconds_until_indexed(engine: MilvusEngine, patience: float = 180) -> float:
    """Until all that was written is in segments with an index."""
    start = time.perf_counter()
    engine.seal()
    client = engine._link._client
    while time.perf_counter() - start < patience:
        state = client.describe_index(engine.address.name, "vector")
        if int(state.get("pending_index_rows", 0)) == 0 and state.get("state") == "Finished":
            break
        time.sleep(0.5)
    time.sleep(3)  # until the nodes have taken them over
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", help="milvus://HOST:PORT; without, one is started here")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--indexes", nargs="*", default=["hnsw", "ivf_flat"])
    options = parser.parse_args()
    with server(options.server) as (uri, pid):
        results = []
        for size in options.sizes:
            results.append(measure(parse_milvus(f"{uri}/bench"), size, options, pid))
            print(results[-1], flush=True)
    common.last_line("distributed", dimension=options.dimension, k=K, results=results)


if __name__ == "__main__":
    main()
