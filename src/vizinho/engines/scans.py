"""How an exact search gets its candidates: by NumPy, by FAISS, or by FAISS over a sketch.

FAISS scans where it is installed and worth its import; NumPy does otherwise, about as fast.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.sketch import Sketch

# FAISS subtracts and squares directly below 20 queries; above, it expands the square, and the
# difference of two large numbers loses the digits that near-duplicates differ in.
_BLOCK = 16
# Importing FAISS takes as long as NumPy loses on it over about so many numbers: a process that
# asks a single question is done before FAISS would be there.
_NUMPY_NUMBERS = 20_000_000
# Vectors that a scan holds a second copy of at a time: 4 MiB of them.
_PART_NUMBERS = 1024 * 1024


class Scan(Protocol):
    """Proposes the places in a matrix that may be nearest to one query."""

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """``take`` places or more, and what the squared distance of all others is at least."""
        ...


class DirectScan:
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
        """See `Scan`."""
        if self._first is not None and len(self._first[1]) == take:
            squared, places = self._first
        else:
            squared, places = _knn(self.query, self.matrix, take)
        return places, float(squared[-1]) * (1 - slack(len(self.query)))


def slack(width: int) -> float:
    """Summing D squares, each off by three roundings: a bound on the relative error."""
    return (width + 4) * 2.0**-23


def faiss_scans(
    faiss: Any, matrix: NDArray[np.float32], queries: NDArray[np.float32], take: int
) -> Iterator[Scan]:
    """A scan for each query [Q, D], prepared for ``take`` candidates, some queries at a time."""
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        for query, squared, places in zip(block, *faiss.knn(block, matrix, take), strict=True):
            yield DirectScan(matrix, query, (squared, places))


class PartScan:
    """Candidates among some rows of a matrix, by FAISS, a part of them copied at a time."""

    def __init__(
        self,
        faiss: Any,
        matrix: NDArray[np.float32],
        query: NDArray[np.float32],
        positions: NDArray[np.int64],
    ) -> None:
        self._faiss = faiss
        self._matrix = matrix
        self._query = query
        self._positions = positions

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """See `Scan`."""
        squared: list[NDArray[np.float32]] = []
        places: list[NDArray[np.int64]] = []
        start = 0
        for part in _parts(self._matrix, self._positions):
            some, within = self._faiss.knn(self._query[None], part, min(take, len(part)))
            squared.append(some[0])
            places.append(self._positions[start + within[0]])
            start += len(part)
        all_squared = np.concatenate(squared)
        best = np.argsort(all_squared, kind="stable")[:take]
        least = float(all_squared[best[-1]]) * (1 - slack(len(self._query)))
        return np.concatenate(places)[best], least


# By now a sketch has cost more than the full scan that it was to save.
_ROUNDS = 3


class SketchScan(DirectScan):
    """Candidates by the distances of a sketch, which are never larger than the true ones."""

    def __init__(
        self, matrix: NDArray[np.float32], sketch: Sketch, query: NDArray[np.float32]
    ) -> None:
        super().__init__(matrix, query)
        self._sketch = sketch
        self._rounds = 0

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """See `Scan`."""
        self._rounds += 1
        if self._rounds == _ROUNDS:
            self._sketch.in_vain += 1
        if take * 8 > len(self.matrix):
            # Vectors without a direction to them, or a large k: the sketch saves nothing.
            return super().nearest(take)
        point, blur = self._sketch.of(self.query)
        squared, places = _knn(point, self._sketch.points, take)
        return places, max(float(squared[-1]) ** 0.5 - blur, 0.0) ** 2


class NumpyScan:
    """Candidates by |v|^2 - 2 v.q + |q|^2, which is one product of matrix and vector.

    Its error is absolute: large where vectors are long and neighbours close. So all that the error
    can bring into the answer are candidates, and where those are many, distances are computed the
    direct way. Neither way makes a second matrix. ``squares`` are the squared lengths [N].
    """

    def __init__(
        self,
        matrix: NDArray[np.float32],
        squares: NDArray[np.float32],
        query: NDArray[np.float32],
        positions: NDArray[np.int64] | None,
    ) -> None:
        self._matrix = matrix
        self._squares = squares
        self._query = query
        self._positions = positions
        self._direct: NDArray[np.float32] | None = None

    def nearest(self, take: int) -> tuple[NDArray[np.int64], float]:
        """See `Scan`."""
        if self._direct is None:
            with np.errstate(over="ignore", invalid="ignore"):
                found = self._by_product(take)
            if found is not None:
                return found
            self._direct = _squared(self._query, self._matrix, self._positions)
        squared, places = _smallest(self._direct, take)
        return self._at(places), float(squared[-1]) * (1 - slack(len(self._query)))

    def _by_product(self, take: int) -> tuple[NDArray[np.int64], float] | None:
        query, squares = self._query, self._squares
        if self._positions is None:
            squared = self._matrix @ query
        else:
            squares = squares[self._positions]
            squared = np.concatenate(
                [part @ query for part in _parts(self._matrix, self._positions)]
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


def faiss_for(numbers: int) -> Any:
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
    faiss = faiss_for(matrix.size)
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
