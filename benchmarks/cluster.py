"""What does Ray cost beside this process's threads? ``python benchmarks/cluster.py``

The same CIFAR-10 pictures, PNG files in a folder, each way into a new gallery of its own: by the
threads of one process, and through a Ray of this machine's cores (``ray://local``). Ray's way is
run in two sizes: the difference between them is what a picture costs, the rest is the start. Beside
seconds there is processor time, of all of Ray's processes, which other work on the machine does not
falsify.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from index import write_files


def of_threads(folder: Path, gallery: Path) -> dict[str, float]:
    """Index by the threads of this process."""
    from vizinho.gallery import Gallery

    with Gallery.create(gallery) as made:
        start, busy = time.perf_counter(), time.process_time()
        made.sync(folder)
        return {"s": time.perf_counter() - start, "cpu_s": time.process_time() - busy}


def of_ray(folder: Path, gallery: Path) -> dict[str, float]:
    """Index through Ray: until the first pictures came, and in all."""
    from vizinho.cluster import ray_workers
    from vizinho.gallery import Gallery
    from vizinho.sources import FolderTree

    first: list[float] = []

    def heard(done: int, total: int | None) -> None:
        if done and not first:
            first.extend([time.perf_counter() - start, busy_of_all() - busy])

    tree = FolderTree(folder)
    with Gallery.create(gallery) as made:
        start, busy = time.perf_counter(), busy_of_all()
        with ray_workers("ray://local", tree, made.model_folder) as embed:
            made.sync(tree, progress=heard, through=embed)
            took, worked = time.perf_counter() - start, busy_of_all() - busy
    return {"first_s": first[0], "first_cpu_s": first[1], "s": took, "cpu_s": worked}


def busy_of_all() -> float:
    """Seconds of processor that this process and all that live below it have used."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                pid = int(entry.name)
                parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks[pid] for pid in family) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1024, help="pictures in the small run")
    parser.add_argument("--large", type=int, default=8192, help="pictures in the large run")
    options = parser.parse_args()
    sizes = (options.small, options.large)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for way, index in (("threads", of_threads), ("ray", of_ray)):
            took = []
            for count in sizes:
                folder = work / f"pictures{count}"
                if not folder.exists():
                    write_files(folder, count, "png")
                took.append(index(folder, work / f"{way}{count}.vizinho"))
                print(f"{way}, {count} pictures: {took[-1]}", file=sys.stderr)
                figures |= {f"{way}_{count}_{k}": round(v, 2) for k, v in took[-1].items()}
            more = (took[1]["cpu_s"] - took[0]["cpu_s"]) / (sizes[1] - sizes[0])
            figures[f"{way}_cpu_ms_per_picture"] = round(1000 * more, 3)
    common.last_line("cluster", pictures=sizes, **figures)


if __name__ == "__main__":
    main()
