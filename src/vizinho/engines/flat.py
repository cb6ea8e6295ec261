"""Exact nearest neighbours over vectors in memory.

Candidates come from a fast scan in float32; their distances are then computed in float64, and more
candidates are fetched until none that belongs to the answer can be missing. So the answer is that
of brute force in float64, whatever the scan was.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.sketch import Sketch

# FAISS subtracts and squares directly below 20 queries; above, it expands the square, and the
# difference of two large numbers loses the digits that near-duplicates differ in.
_BLOCK = 16
_SPARE = 22
# Importing FAISS takes as long as NumPy loses on it over about so many numbers: a process that
# asks a single question is done before FAISS would be there.
_NUMPY_NUMBERS = 20_000_000
# A sketch takes as long to make as some 40 scans; below this width a scan is fast anyway.
_SKETCH_SCANS = 40
_SKETCH_WIDTH = 128
_SKETCH_VECTORS = 2_000


class FlatVectors:
    """A set of vectors that never changes: ``ids`` int64 [N] ascending, ``matrix`` float32 [N, D].

    Safe to search from several threads.
    """

    def __init__(self, ids: NDArray[np.int64], matrix: NDArray[np.float32]) -> None:
        self.ids = ids
        self.matrix = matrix
        self._scans = 0
        self._sketch: Sketch | None = None

    def positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where those of ``ids`` that are here stand in the matrix, ascending."""
        places = np.searchsorted(self.ids, ids)
        places[places == len(self.ids)] = 0
        return np.sort(places[self.ids[places] == ids]) if len(self.ids) else places

    def nearest(
        self,
        queries: NDArray[np.float32],
        need: int,
        positions: NDArray[np.int64] | None = None,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """For each query [Q, D] the ids and Euclidean distances of its ``need`` nearest vectors.

        Sorted by distance; all vectors at the distance of the last one are there, so there may be
        more than ``need``. ``positions`` limits the search to those rows of the matrix.
        """
        if positions is not None:
            part = FlatVectors(self.ids[positions], self.matrix[positions])
            return part.nearest(queries, need)
        need = min(need, len(self.ids))
        if need == 0:
            return [(np.empty(0, np.int64), np.empty(0)) for _ in queries]
        sketch = self._sketched(len(queries))
        found = []
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            if sketch is not None:
                for query in block:
                    scan = _SketchScan(self.matrix, sketch, query)
                    found.append(self._settle(query, need, scan))
                continue
            first = _knn(block, self.matrix, min(need + _SPARE, len(self.ids)))
            for query, squared, places in zip(block, *first, strict=True):
                found.append(
                    self._settle(query, need, _Scan(self.matrix, query, (squared, places)))
                )
        return found

    def _sketched(self, queries: int) -> Sketch | None:
        count, width = self.matrix.shape
        self._scans += queries
        if (
            self._sketch is None
            and width >= _SKETCH_WIDTH
            and count >= _SKETCH_VECTORS
            and self._scans > _SKETCH_SCANS
        ):
            self._sketch = Sketch(self.matrix)
        return self._sketch

    def _settle(
        self, query: NDArray[np.float32], need: int, scan: _Scan
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        count = len(self.ids)
        take = min(need + _SPARE, count)
        wide = query.astype(np.float64)
        while True:
            places, beyond = scan.nearest(take)
            distances = np.sqrt(((self.matrix[places] - wide) ** 2).sum(axis=1))
            order = np.argsort(distances, kind="stable")
            last = distances[order[need - 1]]
            if len(places) == count or beyond > last**2:
                break
            take = min(4 * take, count)
        order = order[distances[order] <= last]
        return self.ids[places[order]], distances[order]


class _Scan:
    """Candidates by their float32 distances."""

    def __init__(
        self,
        matrix: NDArray[np.float32],
        query: NDArray[np.float32],
        first: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None,
    ) -> None:
        self.matrix = matrix
        self.query = query
        self._first = first

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """``take`` places, and what the squared distance of every other vector is at least."""
        if self._first is not None and len(self._first[1]) == take:
            squared, places = self._first
        else:
            squared, places = (part[0] for part in _knn(self.query[None], self.matrix, take))
        # Summing D squares, each off by three roundings: a bound on the relative error.
        slack = (len(self.query) + 4) * 2.0**-23
        return places, float(squared[-1]) * (1 - slack)


class _SketchScan(_Scan):
    """Candidates by the distances of a sketch, which are never larger than the true ones."""

    def __init__(
        self, matrix: NDArray[np.float32], sketch: Sketch, query: NDArray[np.float32]
    ) -> None:
        super().__init__(matrix, query)
        self._sketch = sketch

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        if take * 8 > len(self.matrix):
            # Vectors without a direction to them, or a large k: the sketch saves nothing.
            return super().nearest(take)
        point, blur = self._sketch.of(self.query)
        squared, places = (part[0] for part in _knn(point[None], self._sketch.points, take))
        return places, max(float(squared[-1]) ** 0.5 - blur, 0.0) ** 2


_scanned = 0


def _knn(
    queries: NDArray[np.float32], matrix: NDArray[np.float32], take: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Squared distances, ascending, and positions [Q, take] by brute force, in float32."""
    global _scanned
    _scanned += len(queries) * matrix.size
    if "faiss" in sys.modules or _scanned > _NUMPY_NUMBERS:
        import faiss

        squared, places = faiss.knn(queries, matrix, take)
        return squared, places
    found = [_numpy_knn(query, matrix, take) for query in queries]
    return np.stack([squared for squared, _ in found]), np.stack([places for _, places in found])


def _numpy_knn(
    query: NDArray[np.float32], matrix: NDArray[np.float32], take: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    off = matrix - query
    squared = np.einsum("nd,nd->n", off, off)
    places = np.argpartition(squared, take - 1)[:take]
    places = places[np.argsort(squared[places])]
    return squared[places], places
