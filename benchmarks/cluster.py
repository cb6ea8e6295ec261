"""What does Ray cost beside this process's threads? ``python benchmarks/cluster.py``

The same CIFAR-10 pictures, PNG files in a folder, each way into a new gallery of its own: by the
threads of one process, and through a Ray of this machine's cores (``ray://local``). Ray's way is
run in two sizes: the difference between them is what a picture costs, the rest is the start.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from index import write_files


def seconds_of_threads(folder: Path, gallery: Path) -> float:
    """Index by the threads of this process."""
    from vizinho.gallery import Gallery

    with Gallery.create(gallery) as made:
        start = time.perf_counter()
        made.sync(folder)
        return time.perf_counter() - start


def seconds_of_ray(folder: Path, gallery: Path, address: str) -> dict[str, float]:
    """Index through Ray: until it was reached, until the first pictures came, and in all."""
    from vizinho.cluster import ray_workers
    from vizinho.gallery import Gallery
    from vizinho.sources import FolderTree

    first: list[float] = []

    def heard(done: int, total: int | None) -> None:
        if done:
            first.append(time.perf_counter())

    tree = FolderTree(folder)
    with Gallery.create(gallery) as made:
        start = time.perf_counter()
        with ray_workers(address, tree, made.model_folder) as embed:
            reached = time.perf_counter()
            made.sync(tree, progress=heard, through=embed)
            done = time.perf_counter()
    return {"reached": reached - start, "first": first[0] - start, "all": done - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1024, help="pictures in the small run")
    parser.add_argument("--large", type=int, default=8192, help="pictures in the large run")
    parser.add_argument("--workers", default="ray://local", help="the cluster")
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        took = {}
        for count in (options.small, options.large):
            folder = work / f"pictures{count}"
            write_files(folder, count, "png")
            threads = seconds_of_threads(folder, work / f"threads{count}.vizinho")
            ray = seconds_of_ray(folder, work / f"ray{count}.vizinho", options.workers)
            took[count] = (threads, ray)
            print(f"{count}: threads {threads:.1f} s, Ray {ray}", file=sys.stderr)
            figures[f"threads_{count}_s"] = round(threads, 2)
            figures.update({f"ray_{count}_{k}_s": round(v, 2) for k, v in ray.items()})
    more = options.large - options.small
    (few, ray_few), (many, ray_many) = took[options.small], took[options.large]
    figures["threads_ms_per_picture"] = round(1000 * (many - few) / more, 3)
    figures["ray_ms_per_picture"] = round(1000 * (ray_many["all"] - ray_few["all"]) / more, 3)
    common.last_line("cluster", pictures=[options.small, options.large], **figures)


if __name__ == "__main__":
    main()
