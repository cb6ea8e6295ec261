"""Exact nearest neighbours over vectors in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# FAISS subtracts and squares directly below 20 queries; above, it expands the square, and the
# difference of two large numbers loses the digits that near-duplicates differ in.
_BLOCK = 16
_SPARE = 22


class FlatVectors:
    """An immutable set of vectors: ``ids`` int64 [N] ascending, ``matrix`` float32 [N, D].

    Safe to search from several threads, since nothing in it ever changes.
    """

    def __init__(self, ids: NDArray[np.int64], matrix: NDArray[np.float32]) -> None:
        self.ids = ids
        self.matrix = matrix

    def positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where those of ``ids`` that are here stand in the matrix, ascending."""
        return np.flatnonzero(np.isin(self.ids, ids, assume_unique=True))

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
        ids, matrix = self.ids, self.matrix
        if positions is not None:
            ids, matrix = ids[positions], matrix[positions]
        need = min(need, len(ids))
        if need == 0:
            return [(np.empty(0, np.int64), np.empty(0)) for _ in queries]
        found = []
        for start in range(0, len(queries), _BLOCK):
            block = queries[start : start + _BLOCK]
            take = min(need + _SPARE, len(ids))
            squared, places = _knn(block, matrix, take)
            for query, row_squared, row_places in zip(block, squared, places, strict=True):
                found.append(_settle(query, ids, matrix, need, row_squared, row_places))
        return found


def _knn(
    queries: NDArray[np.float32], matrix: NDArray[np.float32], take: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Squared distances and positions [Q, take] by brute force, in float32."""
    import faiss

    squared, places = faiss.knn(queries, matrix, take)
    return squared, places


def _settle(
    query: NDArray[np.float32],
    ids: NDArray[np.int64],
    matrix: NDArray[np.float32],
    need: int,
    squared: NDArray[np.float32],
    places: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Exact distances of the candidates ``places``, more of them fetched until none can be missing.

    float32 may order two nearly equal distances wrongly, so a vector that was left out could
    belong to the answer, unless even the smallest distance it may truly have is beyond the last.
    """
    wide = query.astype(np.float64)
    # Summing D squares, each off by three roundings: a bound on the relative error.
    slack = (len(query) + 4) * 2.0**-23
    while True:
        distances = np.sqrt(((matrix[places] - wide) ** 2).sum(axis=1))
        order = np.argsort(distances, kind="stable")
        last = distances[order[need - 1]]
        if len(places) == len(matrix) or float(squared[-1]) * (1 - slack) > last**2:
            break
        squared, places = (
            part[0] for part in _knn(query[None], matrix, min(4 * len(places), len(matrix)))
        )
    order = order[distances[order] <= last]
    return ids[places[order]], distances[order]
