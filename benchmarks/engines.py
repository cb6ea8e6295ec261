"""Engines at 10,000 to a million vectors, on one core, beside what else there is.

Each part (engine, shape, size, width) runs in a process of its own and leaves its figures in the
scratch folder; a run that was cut short goes on from there, ``--again`` measures anew. Graphs
(hnswlib, usearch) take minutes to build at a million and are left out there unless ``--graphs``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import ROOT, last_line, pin
from engine_ours import measure_vizinho
from engine_rivals import GRAPHS, RIVALS, recall, tuned
from engine_timing import many, peak_mb, timed
from engine_vectors import SHAPES, prepared

SIZES = {"2k": 2_000, "10k": 10_000, "100k": 100_000, "1m": 1_000_000}
WIDTHS = (64, 128)
ENGINES = ("vizinho", *RIVALS)


def measure_rival(name: str, data: dict[str, Any], scratch: Path) -> dict[str, Any]:
    before = peak_mb()
    search, figures = RIVALS[name](data["vectors"], scratch)
    queries, true = data["queries"], data["true"]
    tuned(search, figures, queries, true)
    figures |= timed(search, queries) | {"recall": recall(search(queries[: len(true)]), true)}
    figures["queries_per_s"] = many(search, queries, 5.0)
    figures["memory_mb"] = peak_mb() - before
    figures["adds_per_s"] = len(data["vectors"]) / max(figures["build_s"], 1e-9)
    return figures


def part(name: str, shape: str, count: int, width: int, scratch: Path) -> None:
    """Measure one part in this process and write its figures."""
    os.environ["OMP_NUM_THREADS"] = "1"
    data = prepared(shape, count, width, scratch)
    work = scratch / f"work-{os.getpid()}"
    work.mkdir()
    asked = scratch / f"{shape}-{count}x{width}.npz"
    try:
        if name == "vizinho":
            figures = measure_vizinho(data, work, asked)
        else:
            figures = measure_rival(name, data, work)
    finally:
        shutil.rmtree(work)
    figures = {"engine": name, "shape": shape, "vectors": count, "width": width} | figures
    figures["load"] = os.getloadavg()[0]
    file = scratch / "results" / f"{name}-{shape}-{count}x{width}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(figures) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES)[1:])
    parser.add_argument("--widths", nargs="+", type=int, choices=WIDTHS, default=list(WIDTHS))
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--graphs", action="store_true", help="hnswlib and usearch at 1m, too")
    parser.add_argument("--scratch", type=Path, default=ROOT / "build" / "engines")
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="show that it works; measures nothing")
    given = parser.parse_args()
    if given.quick:
        given.sizes, given.widths, given.shapes, given.again = ["2k"], [64], ["uniform"], True
    given.scratch.mkdir(parents=True, exist_ok=True)
    if given.part:
        name, shape, count, width = given.part
        part(name, shape, int(count), int(width), given.scratch)
        return
    core = pin()
    results = []
    for size in given.sizes:
        for width in given.widths:
            for shape in given.shapes:
                for name in given.engines:
                    count = SIZES[size]
                    file = given.scratch / "results" / f"{name}-{shape}-{count}x{width}.json"
                    wanted = name not in GRAPHS or count < 1_000_000 or given.graphs
                    if wanted and (given.again or not file.exists()):
                        print(f"{name}, {shape}, {count:,} x {width} ...", flush=True)
                        command = [sys.executable, __file__, "--scratch", str(given.scratch)]
                        command += ["--part", name, shape, str(count), str(width)]
                        if subprocess.run(command, check=False).returncode != 0:
                            print("  failed", flush=True)
                            continue
                    if file.exists():
                        results.append(json.loads(file.read_text()))
                        print("  " + told(results[-1]), flush=True)
    last_line("engines", core=core, results=results)


def told(one: dict[str, Any]) -> str:
    """One part in a line."""
    return (
        f"{one['engine']}: build {one['build_s']:.1f} s, p50 {one['p50_ms']:.3f} ms, "
        f"p99 {one['p99_ms']:.2f} ms, recall {one['recall']:.4f}, {one['queries_per_s']:,.0f}/s"
    )


if __name__ == "__main__":
    main()
