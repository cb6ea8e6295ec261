"""Exact nearest neighbours over vectors in memory, or mapped into it.

Candidates come from a fast scan in float32; their distances are then computed in float64, and more
candidates are fetched until none that belongs to the answer can be missing. So the answer is that
of brute force in float64, whatever the scan was.

FAISS scans where it is installed and worth its import; NumPy does otherwise, about as fast.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

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
# Vectors that a NumPy scan holds a second copy of at a time: 4 MiB of them.
_PART_NUMBERS = 1024 * 1024


class FlatVectors:
    """A set of vectors that never changes: ``ids`` int64 [N] ascending, ``matrix`` float32 [N, D].

    ``sketches`` allows a second, shorter matrix [N, 49] for long vectors, made on the way. Safe to
    search from several threads.
    """

    def __init__(
        self, ids: NDArray[np.int64], matrix: NDArray[np.float32], *, sketches: bool = True
    ) -> None:
        self.ids = ids
        self.matrix = matrix
        self._sketches = sketches
        self._scans = 0
        self._sketch: Sketch | None = None
        self._squares: NDArray[np.float32] | None = None

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
        count = len(self.ids) if positions is None else len(positions)
        need = min(need, count)
        if need == 0:
            return [(np.empty(0, np.int64), np.empty(0)) for _ in queries]
        sketch = None if positions is not None else self._sketched(len(queries))
        if sketch is not None:
            scans: Iterable[_Scan] = (_SketchScan(self.matrix, sketch, query) for query in queries)
        elif (faiss := _faiss(len(queries) * count * self.matrix.shape[1])) is None:
            scans = (_NumpyScan(self, query, positions) for query in queries)
        elif positions is not None:
            part = FlatVectors(self.ids[positions], self.matrix[positions], sketches=False)
            return part.nearest(queries, need)
        else:
            scans = _faiss_scans(faiss, self.matrix, queries, min(need + _SPARE, count))
        return [
            self._settle(query, need, count, scan)
            for query, scan in zip(queries, scans, strict=True)
        ]

    def squares(self) -> NDArray[np.float32]:
        """The squared length of each vector [N]."""
        if self._squares is None:
            self._squares = np.einsum("nd,nd->n", self.matrix, self.matrix)
        return self._squares

    def _sketched(self, queries: int) -> Sketch | None:
        count, width = self.matrix.shape
        self._scans += queries
        if (
            self._sketch is None
            and self._sketches
            and width >= _SKETCH_WIDTH
            and count >= _SKETCH_VECTORS
            and self._scans > _SKETCH_SCANS
        ):
            self._sketch = Sketch(self.matrix)
        return self._sketch

    def _settle(
        self, query: NDArray[np.float32], need: int, count: int, scan: _Scan
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
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


class _Scan(Protocol):
    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """``take`` places or more, and what the squared distance of all others is at least."""
        ...


class _DirectScan:
    """Candidates by float32 distances, each the sum of squared differences."""

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
        if self._first is not None and len(self._first[1]) == take:
            squared, places = self._first
        else:
            squared, places = _knn(self.query, self.matrix, take)
        return places, float(squared[-1]) * (1 - _slack(len(self.query)))


def _slack(width: int) -> float:
    """Summing D squares, each off by three roundings: a bound on the relative error."""
    return (width + 4) * 2.0**-23


def _faiss_scans(
    faiss: Any, matrix: NDArray[np.float32], queries: NDArray[np.float32], take: int
) -> Iterator[_Scan]:
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        for query, squared, places in zip(block, *faiss.knn(block, matrix, take), strict=True):
            yield _DirectScan(matrix, query, (squared, places))


class _SketchScan(_DirectScan):
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
        squared, places = _knn(point, self._sketch.points, take)
        return places, max(float(squared[-1]) ** 0.5 - blur, 0.0) ** 2


class _NumpyScan:
    """Candidates by |v|^2 - 2 v.q + |q|^2, which is one product of matrix and vector.

    Its error is absolute: large where vectors are long and neighbours close. So all that the error
    can bring into the answer are candidates, and where those are many, distances are computed the
    direct way. Neither way makes a second matrix.
    """

    def __init__(
        self,
        vectors: FlatVectors,
        query: NDArray[np.float32],
        positions: NDArray[np.int64] | None,
    ) -> None:
        self._vectors = vectors
        self._query = query
        self._positions = positions
        self._direct: NDArray[np.float32] | None = None

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        if self._direct is None:
            with np.errstate(over="ignore", invalid="ignore"):
                found = self._by_product(take)
            if found is not None:
                return found
            self._direct = _squared(self._query, self._vectors.matrix, self._positions)
        squared, places = _smallest(self._direct, take)
        return self._at(places), float(squared[-1]) * (1 - _slack(len(self._query)))

    def _by_product(self, take: int) -> tuple[NDArray[np.int64], float] | None:
        query, squares = self._query, self._vectors.squares()
        if self._positions is None:
            squared = self._vectors.matrix @ query
        else:
            squares = squares[self._positions]
            squared = np.concatenate(
                [part @ query for part in _parts(self._vectors.matrix, self._positions)]
            )
        length = query @ query
        squared *= -2
        squared += squares
        squared += length
        # Three sums of D products and two of their sums, each at most (|v| + |q|)^2 in size.
        error = (
            (len(query) + 8) * 2.0**-23 * (float(squares.max()) ** 0.5 + float(length) ** 0.5) ** 2
        )
        limit = float(np.partition(squared, take - 1)[take - 1]) + 3 * error
        places = np.flatnonzero(squared <= limit)
        if not take <= len(places) <= 8 * take:  # too close together, or not finite
            return None
        return self._at(places), limit - error

    def _at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return places if self._positions is None else self._positions[places]


_scanned = 0
_missing = False


def _faiss(numbers: int) -> Any:
    """FAISS, if a scan over so many more numbers should use it and it is installed."""
    global _missing, _scanned
    _scanned += numbers
    if not _missing and ("faiss" in sys.modules or _scanned > _NUMPY_NUMBERS):
        try:
            import faiss
        except ImportError:
            _missing = True
        else:
            return faiss
    return None


def _knn(
    query: NDArray[np.float32], matrix: NDArray[np.float32], take: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Squared distances, ascending, and positions [take] by brute force, in float32."""
    faiss = _faiss(matrix.size)
    if faiss is None:
        return _smallest(_squared(query, matrix), take)
    squared, places = faiss.knn(query[None], matrix, take)
    return squared[0], places[0]


def _smallest(
    squared: NDArray[np.float32], take: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    places = np.argpartition(squared, take - 1)[:take]
    places = places[np.argsort(squared[places])]
    return squared[places], places


def _squared(
    query: NDArray[np.float32],
    matrix: NDArray[np.float32],
    positions: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    found = []
    for part in _parts(matrix, positions):
        off = part - query
        found.append(np.einsum("nd,nd->n", off, off))
    return np.concatenate(found)


def _parts(
    matrix: NDArray[np.float32], positions: NDArray[np.int64] | None
) -> Iterator[NDArray[np.float32]]:
    """The matrix, or its rows at ``positions``, some at a time."""
    step = max(1, _PART_NUMBERS // matrix.shape[1])
    for start in range(0, len(matrix) if positions is None else len(positions), step):
        part = slice(start, start + step)
        yield matrix[part] if positions is None else matrix[positions[part]]
