"""What the embedded engine is measured beside: scikit-learn, FAISS alone, hnswlib, usearch.

Each function builds over vectors [N, D] and returns a search for one query, one for many, figures
of the build, and what deletes its files.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Search = Callable[[Vectors], NDArray[np.int64]]
WANTED = 0.99
NEIGHBOURS, CONSTRUCTION = 16, 100
EFFORTS = (16, 32, 64, 128, 256, 512)


def scikit_learn(vectors: Vectors, _: Path) -> tuple[Search, dict[str, Any]]:
    """What the thesis used: brute force, as it was called there."""
    from sklearn.neighbors import NearestNeighbors

    with _Watch() as watch:
        index = NearestNeighbors(n_neighbors=10, algorithm="brute").fit(np.array(vectors))

    def search(queries: Vectors) -> NDArray[np.int64]:
        return np.asarray(index.kneighbors(queries, return_distance=False))

    return search, watch.figures | {"exact": True}


def faiss_flat(vectors: Vectors, scratch: Path) -> tuple[Search, dict[str, Any]]:
    """FAISS's exact index."""
    import faiss

    with _Watch() as watch:
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(vectors)
    file = scratch / "flat.faiss"
    faiss.write_index(index, str(file))
    figures = watch.figures | {"exact": True, "disk_mb": _mb(file)}
    return lambda queries: index.search(queries, 10)[1], figures


def hnswlib(vectors: Vectors, scratch: Path) -> tuple[Search, dict[str, Any]]:
    """A graph; its effort is raised until the wanted recall is there."""
    import hnswlib as library

    with _Watch() as watch:
        index = library.Index("l2", vectors.shape[1])
        index.init_index(len(vectors), ef_construction=CONSTRUCTION, M=NEIGHBOURS)
        index.set_num_threads(1)
        index.add_items(vectors)
    file = scratch / "graph.hnswlib"
    index.save_index(str(file))

    def search(queries: Vectors) -> NDArray[np.int64]:
        return np.asarray(index.knn_query(queries, 10)[0]).astype(np.int64)

    figures = watch.figures | {"disk_mb": _mb(file), "effort": index.set_ef}
    return search, figures


def usearch(vectors: Vectors, scratch: Path) -> tuple[Search, dict[str, Any]]:
    """Another graph, by its own defaults for a thread."""
    from usearch.index import Index

    with _Watch() as watch:
        index = Index(
            ndim=vectors.shape[1],
            metric="l2sq",
            dtype="f32",
            connectivity=NEIGHBOURS,
            expansion_add=CONSTRUCTION,
        )
        index.add(np.arange(len(vectors)), vectors, threads=1)
    file = scratch / "graph.usearch"
    index.save(str(file))

    def search(queries: Vectors) -> NDArray[np.int64]:
        keys = index.search(queries if len(queries) > 1 else queries[0], 10, threads=1).keys
        return np.asarray(keys).astype(np.int64).reshape(len(queries), -1)

    def effort(value: int) -> None:
        index.expansion_search = value

    return search, watch.figures | {"disk_mb": _mb(file), "effort": effort}


RIVALS: dict[str, Callable[[Vectors, Path], tuple[Search, dict[str, Any]]]] = {
    "scikit-learn": scikit_learn,
    "faiss-flat": faiss_flat,
    "hnswlib": hnswlib,
    "usearch": usearch,
}
GRAPHS = ("hnswlib", "usearch")


def tuned(search: Search, figures: dict[str, Any], queries: Vectors, true: NDArray[Any]) -> None:
    """Raise a graph's effort until it finds the wanted share of the ten nearest."""
    effort = figures.pop("effort", None)
    if effort is None:
        return
    for value in EFFORTS:
        effort(value)
        figures["ef"] = value
        if recall(search(queries[: len(true)]), true) >= WANTED:
            return


def recall(found: NDArray[np.int64], true: NDArray[np.int64]) -> float:
    """Share of the true neighbours that are among the found."""
    pairs = zip(found.tolist(), true.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


class _Watch:
    """Processor and wall time of a build."""

    def __enter__(self) -> _Watch:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.figures = {
            "build_s": round(time.perf_counter() - self._wall, 3),
            "build_cpu_s": round(time.process_time() - self._cpu, 3),
        }


def _mb(file: Path) -> float:
    size = file.stat().st_size / 1e6
    file.unlink()
    return round(size, 1)
