"""How long does a measurement take, and how much memory? ``python benchmarks/evaluate.py``

All metrics of `vizinho eval` over embeddings that are made up: ten classes, so that MAP@R ranks a
tenth of the set for every query. Each size runs in a process of its own, one core, one thread;
`working_mb` is what its peak (``ru_maxrss``) was above its size with the embeddings loaded. The
last line is JSON. All nine sizes take about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import last_line, pin

COUNTS = (10_000, 30_000, 100_000)
DIMENSIONS = (64, 128, 512)
CLASSES = 10


def embeddings(count: int, dimension: int) -> tuple[Any, Any]:
    """Clusters that overlap, float32 [N, D], and their labels; made without a larger array."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, count)
    vectors = rng.standard_normal((count, dimension), dtype=np.float32)
    centres = rng.standard_normal((CLASSES, dimension), dtype=np.float32)
    for label in range(CLASSES):
        vectors[labels == label] += 0.35 * centres[label]
    return vectors, labels


def peak_mb() -> float:
    """Largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    """Resident size of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(count: int, dimension: int) -> dict[str, Any]:
    """One size, in this process."""
    from vizinho.evaluate import evaluate

    evaluate(*embeddings(500, dimension))
    vectors, labels = embeddings(count, dimension)
    before, start, cpu = resident_mb(), time.perf_counter(), time.process_time()
    result = evaluate(vectors, labels)
    return {
        "images": count,
        "dimension": dimension,
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "embeddings_mb": round(vectors.nbytes / 2**20, 1),
        "peak_mb": round(peak_mb(), 1),
        "working_mb": round(peak_mb() - before, 1),
        "precision_at_1": round(result.precision_at_1, 4),
        "mean_average_precision_at_r": round(result.mean_average_precision_at_r, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--quick", action="store_true", help="shows that it works")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        print(json.dumps(measure(wanted.images[0], wanted.dimensions[0])))
        return
    pin()
    if wanted.quick:
        wanted.images, wanted.dimensions = (1_000, 2_000), (64,)
    figures = []
    print("  images  dim   seconds      cpu  embeddings  working")
    for count in wanted.images:
        for dimension in wanted.dimensions:
            size = ["--images", str(count), "--dimensions", str(dimension)]
            done = subprocess.run(
                [sys.executable, __file__, "--one", *size],
                check=True,
                capture_output=True,
                text=True,
            )
            found = json.loads(done.stdout)
            figures.append(found)
            print(
                f"{count:8,} {dimension:4} {found['seconds']:8.1f} s {found['cpu_seconds']:6.1f} s"
                f" {found['embeddings_mb']:8.1f} MB {found['working_mb']:5.1f} MB",
                flush=True,
            )
    last_line("evaluate", n=1, threads=1, classes=CLASSES, figures=figures)


if __name__ == "__main__":
    main()
