"""A few numbers for each long vector, whose distances never exceed the true ones.

Embeddings of hundreds of numbers mostly vary in a few directions. A sketch keeps the coordinates
along those (the principal components) and the length of all that is left. Two vectors are at least
as far apart as their sketches, because the lengths of two remainders differ by no more than the
remainders themselves: so a search may discard by sketches and stay exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DIRECTIONS = 48
_SAMPLE = 1024
_BLOCK = 4096


class Sketch:
    """``points`` float32 [N, M]: the sketches of the rows of a matrix float32 [N, D].

    ``in_vain`` counts the searches that it made slower.
    """

    def __init__(self, matrix: NDArray[np.float32]) -> None:
        self.in_vain = 0
        step = max(1, len(matrix) // _SAMPLE)
        sample = matrix[::step].astype(np.float64)
        self._centre = sample.mean(axis=0)
        _, basis = np.linalg.eigh(np.cov(sample, rowvar=False))
        # The eigenvalues ascend: the last directions vary most.
        self._basis = np.ascontiguousarray(basis[:, -_DIRECTIONS:])
        self.points = np.concatenate(
            [
                self._points(matrix[start : start + _BLOCK])
                for start in range(0, len(matrix), _BLOCK)
            ]
        )
        # Rounding a sketch to float32, in it and in the scan over it, relative to its length.
        self._rounding = (_DIRECTIONS + 8) * 2.0**-22
        self._longest = float(np.linalg.norm(self.points, axis=1).max())

    def of(self, query: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """The sketch [M] of one vector [D], and by how much a distance to it may be too large."""
        point = self._points(query[None])[0]
        return point, self._rounding * (self._longest + float(np.linalg.norm(point)))

    def _points(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = vectors.astype(np.float64) - self._centre
        along = centred @ self._basis
        squared = (centred**2).sum(axis=1) - (along**2).sum(axis=1)
        left = np.sqrt(np.maximum(squared, 0))[:, None]
        return np.concatenate([along, left], axis=1).astype(np.float32)
