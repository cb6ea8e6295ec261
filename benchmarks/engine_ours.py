"""The embedded engine, measured: filled, opened in a fresh process, asked, changed, and set beside
FAISS alone over the same index."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from engine_rivals import recall
from engine_timing import SECONDS, many, timed

OPEN = """
import json, sys, time
began = time.perf_counter()
import numpy as np
from pathlib import Path
from vizinho.engines.embedded import EmbeddedEngine
ready = time.perf_counter()
engine = EmbeddedEngine.open(Path(sys.argv[1]))
count = engine.count()
opened = time.perf_counter()
query = np.load(sys.argv[2])["queries"][:1]
asked = time.perf_counter()
engine.search(query, 10)
answered = time.perf_counter()
for query in np.load(sys.argv[2])["queries"]:
    engine.search(query[None], 10)
print(json.dumps({
    "import_ms": 1000 * (ready - began), "open_ms": 1000 * (opened - ready),
    "first_ms": 1000 * (answered - asked),
    "memory_mb": int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024,
}))
"""


def measure_vizinho(data: dict[str, Any], scratch: Path, asked: Path) -> dict[str, Any]:
    from vizinho.engines import Row
    from vizinho.engines.embedded import EmbeddedEngine

    def rows(start: int, end: int) -> list[Row]:
        keys = (f"photos/{number:08d}.jpg" for number in range(start, end))
        return [Row(key, f"/images/{key}", f"{key:0>64}", f"{key[-5]}") for key in keys]

    vectors, queries, true = data["vectors"], data["queries"], data["true"]
    count, width = vectors.shape
    folder = scratch / "gallery"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = folder / "catalogue.sqlite"
    engine = EmbeddedEngine.create(path, width)
    began, used = time.perf_counter(), time.process_time()
    for start in range(0, count, 5000):
        end = min(start + 5000, count)
        engine.add(rows(start, end), vectors[start:end])
    figures: dict[str, Any] = {"adds_per_s": count / (time.perf_counter() - began)}
    engine.optimise()
    figures |= {
        "build_s": round(time.perf_counter() - began, 3),
        "build_cpu_s": round(time.process_time() - used, 3),
    }
    told = engine.describe()
    figures |= {"disk_mb": told["bytes"] / 1e6, "how": told}
    opened = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", OPEN, str(path), str(asked)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(5)
    ]
    figures |= {name: float(np.median([each[name] for each in opened])) for name in opened[0]}
    engine.close()
    engine = EmbeddedEngine.open(path)
    found = [
        [int(hit.key[7:15]) for hit in hits] for hits in engine.search(queries[: len(true)], 10)
    ]
    figures["recall"] = recall(np.array(found), true)
    figures |= timed(lambda query: engine.search(query, 10), queries)
    figures["queries_per_s"] = many(lambda some: engine.search(some, 10), queries, 5.0)
    figures |= beside_faiss(engine, queries)
    figures |= changes(engine, rows(count, count + 2000), queries)
    engine.close()
    shutil.rmtree(folder)
    return figures


def beside_faiss(engine: Any, queries: np.ndarray) -> dict[str, Any]:
    """The same index, probes and re-ranking by FAISS alone, query for query in turns with ours.

    ``neighbours`` is ours without looking up rows; the overhead is of processor time, of the whole
    search with rows and without.
    """
    import faiss

    snapshot = engine._current()
    base = snapshot.base
    if snapshot.ivf is None:
        index: Any = faiss.IndexFlatL2(base.matrix.shape[1])
        index.add(base.matrix)
        parameters = None
    else:
        take = 10 + 10 // 2 + 10
        refined = faiss.IndexRefineFlat(snapshot.ivf.index, faiss.swig_ptr(base.matrix))
        refined.own_fields = False
        index = refined
        probes = snapshot.ivf.probing.probes[10]
        parameters = faiss.IndexRefineSearchParameters(
            k_factor=take / 10, base_index_params=faiss.SearchParametersIVF(nprobe=probes)
        )
    ways = {
        "bare": lambda query: index.search(query, 10, params=parameters),
        "neighbours": lambda query: snapshot.nearest(query, 10),
        "whole": lambda query: engine.search(query, 10),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    until = time.perf_counter() + SECONDS
    for number, query in enumerate(queries):
        for name, way in ways.items():
            used = time.thread_time()
            way(query[None])
            if number >= 20:
                times[name].append(1000 * (time.thread_time() - used))
        if time.perf_counter() > until and number > 40:
            break
    middle = {name: float(np.median(each)) for name, each in times.items()}
    return {
        "bare_faiss_cpu_p50_ms": middle["bare"],
        "neighbours_cpu_p50_ms": middle["neighbours"],
        "whole_cpu_p50_ms": middle["whole"],
        "overhead_neighbours": middle["neighbours"] / middle["bare"] - 1,
        "overhead_whole": middle["whole"] / middle["bare"] - 1,
    }


def changes(engine: Any, rows: Any, vectors: np.ndarray) -> dict[str, float]:
    """Rows a second, added and removed 256 at a time and one by one; and what a reader pays to see
    one that another connection added."""
    from vizinho.engines.embedded import EmbeddedEngine

    reader = EmbeddedEngine.open(engine.path)
    reader.search(vectors[:1], 1)
    start = time.perf_counter()
    for at in range(0, 1024, 256):
        engine.add(rows[at : at + 256], np.resize(vectors, (256, vectors.shape[1])))
    added = 1024 / (time.perf_counter() - start)
    seen = []
    start_all = time.perf_counter()
    spent = 0.0
    for number in range(50):
        engine.add(rows[1100 + number : 1101 + number], vectors[number : number + 1])
        start = time.perf_counter()
        reader.search(vectors[number : number + 1], 1)
        seen.append(1000 * (time.perf_counter() - start))
        spent += seen[-1] / 1000
    singly = 50 / (time.perf_counter() - start_all - spent)
    start = time.perf_counter()
    engine.remove([row.key for row in rows[:1024]])
    removed = 1024 / (time.perf_counter() - start)
    reader.close()
    return {
        "batch_adds_per_s": added,
        "single_adds_per_s": singly,
        "removes_per_s": removed,
        "seen_ms": float(np.median(seen)),
    }
