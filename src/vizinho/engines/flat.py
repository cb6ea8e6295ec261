"""Exact nearest neighbours over vectors in memory, or mapped into it.

Candidates come from a fast scan in float32 (`vizinho.engines.scans`); their distances are then
computed in float64, and more candidates are fetched until none that belongs to the answer can be
missing. So the answer is that of brute force in float64, whatever the scan was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vizinho.engines.scans import (
    NumpyScan,
    PartScan,
    Scan,
    SketchScan,
    faiss_for,
    faiss_scans,
)
from vizinho.engines.sketch import Sketch

_SPARE = 22
# A sketch takes as long to make as some 40 scans; below this width a scan is fast anyway.
_SKETCH_SCANS = 40
# So many searches in vain tell vectors that vary in all directions alike: no sketch helps there.
_IN_VAIN = 5
_SKETCH_WIDTH = 128
_SKETCH_VECTORS = 2_000

NO_PLACES = np.empty(0, np.int64)
Nearest: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Ids (or places) and their Euclidean distances, closest first."""


class FlatVectors:
    """A set of vectors that never changes: ``ids`` int64 [N] ascending, ``matrix`` float32 [N, D].

    ``dead`` are the places of rows that don't count any more, ascending: a set without them is made
    by `without`, and shares everything else. ``sketches`` allows a second, shorter matrix [N, 49]
    for long vectors, made on the way. Safe to search from several threads.
    """

    def __init__(
        self, ids: NDArray[np.int64], matrix: NDArray[np.float32], *, sketches: bool = True
    ) -> None:
        self.ids = ids
        self.matrix = matrix
        self.dead = NO_PLACES
        self._made = _Made()
        self._sketches = sketches

    def __len__(self) -> int:
        return len(self.ids) - len(self.dead)

    @property
    def has_sketch(self) -> bool:
        """Whether a sketch has been made."""
        return self._made.sketch is not None

    def without(self, ids: NDArray[np.int64]) -> FlatVectors:
        """The same set, of which ``ids`` don't count any more; unknown ones are passed over."""
        gone = np.setdiff1d(self.positions(ids), self.dead, assume_unique=True)
        if not len(gone):
            return self
        left = FlatVectors(self.ids, self.matrix, sketches=self._sketches)
        left._made = self._made
        left.dead = np.sort(np.concatenate([self.dead, gone]))
        return left

    def positions(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where those of ``ids`` that are here stand in the matrix, ascending."""
        if not len(self.ids):
            return NO_PLACES
        places: NDArray[np.int64] = self.ids.searchsorted(ids)
        places[places == len(self.ids)] = 0
        here: NDArray[np.int64] = np.sort(places[self.ids[places] == ids])
        return here

    def alive(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of ``places`` that count, in their order."""
        if not len(self.dead):
            return places
        found = self.dead.searchsorted(places)
        found[found == len(self.dead)] = 0
        left: NDArray[np.int64] = places[self.dead[found] != places]
        return left

    def distances(
        self, places: NDArray[np.int64], query: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """From the rows at ``places`` to a query [D], in float64."""
        off: NDArray[np.float64] = self.matrix[places] - query
        off *= off
        summed: NDArray[np.float64] = np.add.reduce(off, axis=1)
        return np.sqrt(summed)

    def nearest(
        self,
        queries: NDArray[np.float32],
        need: int,
        positions: NDArray[np.int64] | None = None,
    ) -> list[Nearest]:
        """For each query [Q, D] the ids and Euclidean distances of its ``need`` nearest vectors.

        Sorted by distance; all vectors at the distance of the last one are there, so there may be
        more than ``need``. ``positions`` limits the search to those rows of the matrix.
        """
        if positions is not None:
            positions = self.alive(positions)
        count = len(self.ids) if positions is None else len(positions)
        need = min(need, len(self) if positions is None else count)
        if need == 0:
            return [(NO_PLACES, np.empty(0)) for _ in queries]
        sketch = None if positions is not None else self._sketched(len(queries))
        if sketch is not None:
            scans: Iterable[Scan] = (SketchScan(self.matrix, sketch, query) for query in queries)
        elif (faiss := faiss_for(len(queries) * count * self.matrix.shape[1])) is None:
            squares = self.squares()
            scans = (NumpyScan(self.matrix, squares, query, positions) for query in queries)
        elif positions is not None:
            scans = (PartScan(faiss, self.matrix, query, positions) for query in queries)
        else:
            scans = faiss_scans(faiss, self.matrix, queries, min(need + _SPARE, count))
        return [
            self._settle(query, need, count, scan)
            for query, scan in zip(queries, scans, strict=True)
        ]

    def squares(self) -> NDArray[np.float32]:
        """The squared length of each vector [N]."""
        if self._made.squares is None:
            self._made.squares = np.einsum("nd,nd->n", self.matrix, self.matrix)
        return self._made.squares

    def _sketched(self, queries: int) -> Sketch | None:
        made = self._made
        count, width = self.matrix.shape
        made.scans += queries
        if (
            made.sketch is None
            and self._sketches
            and width >= _SKETCH_WIDTH
            and count >= _SKETCH_VECTORS
            and made.scans > _SKETCH_SCANS
        ):
            made.sketch = Sketch(self.matrix)
        if made.sketch is not None and made.sketch.in_vain >= _IN_VAIN:
            return None
        return made.sketch

    def _settle(self, query: NDArray[np.float32], need: int, count: int, scan: Scan) -> Nearest:
        take = min(need + _SPARE, count)
        wide = query.astype(np.float64)
        while True:
            proposed, beyond = scan.nearest(take)
            places = self.alive(proposed)
            distances = self.distances(places, wide)
            order = np.argsort(distances, kind="stable")
            if len(proposed) == count:
                break
            if len(places) >= need and beyond > distances[order[need - 1]] ** 2:
                break
            take = min(4 * take, count)
        return trimmed(self.ids[places[order]], distances[order], need)


def trimmed(
    ids: NDArray[np.int64], distances: NDArray[np.float64], need: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The first ``need`` of what is sorted by distance, and all at the distance of the last."""
    if len(ids) <= need:
        return ids, distances
    if distances[need] > distances[need - 1]:  # nearly always
        return ids[:need], distances[:need]
    end = int(distances.searchsorted(distances[need - 1], side="right"))
    return ids[:end], distances[:end]


class _Made:
    """What is computed on the way, shared by sets that differ only in what is dead."""

    def __init__(self) -> None:
        self.scans = 0
        self.sketch: Sketch | None = None
        self.squares: NDArray[np.float32] | None = None
