"""How searches are timed, and memory is taken."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

SECONDS = 15.0


def timed(search: Any, queries: np.ndarray, seconds: float = SECONDS) -> dict[str, float]:
    """Wall and processor time of single queries, after a round to warm up."""
    wall: list[float] = []
    cpu: list[float] = []
    for query in queries[:50]:
        search(query[None])
    until = time.perf_counter() + seconds
    for query in queries:
        start, used = time.perf_counter(), time.thread_time()
        search(query[None])
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.thread_time() - used))
        if time.perf_counter() > until:
            break
    return {
        "p50_ms": float(np.median(wall)),
        "p99_ms": float(np.quantile(wall, 0.99)),
        "cpu_p50_ms": float(np.median(cpu)),
        "queries": len(wall),
    }


def many(search: Any, queries: np.ndarray, seconds: float) -> float:
    """Queries a second when many are asked at once; no more than should take ``seconds``."""
    start = time.perf_counter()
    search(queries[:16])
    share = seconds / max(time.perf_counter() - start, 1e-6) * 16
    some = queries[: int(np.clip(share, 16, len(queries)))]
    start = time.perf_counter()
    search(some)
    return len(some) / (time.perf_counter() - start)


def peak_mb() -> float:
    """The most memory this process has had, mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
