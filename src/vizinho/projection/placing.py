"""Points put onto a plane that others made: near the landmarks that they are most like.

t-SNE takes long for many points, so a few thousand landmarks make the plane. Any other point is
attracted by its nearest landmarks and repelled by all of them, while these stay where they are: the
same forces that placed them, as openTSNE's ``transform`` uses them (Poličar, Stražar and Zupan,
"Embedding to reference t-SNE space addresses batch effects in single-cell classification", 2021).
What all landmarks do to a place is looked up in a grid, made once by FFT as in FIt-SNE (Linderman
et al., 2019), so that a point costs the same whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vizinho.projection.points import Plane

Array = NDArray[np.float64]

# Smaller than t-SNE's own: a point needs to find its place, not to shape the plane.
_PERPLEXITY, _NEAREST = 5.0, 15
_EXAGGERATION, _RATE, _MOMENTUM, _STEPS, _LONGEST = 1.5, 2.0, 0.6, 50, 2.0
# In units of a kernel's width: far enough to part points that are like the same landmarks.
_SPREAD = 0.3
_CELLS, _MARGIN = 512, 0.1
_BLOCK = 2_000


@dataclass
class Landmarks:
    """Embeddings [M, D] that have a place on a plane, and give others theirs."""

    vectors: NDArray[np.float32]
    plane: Plane
    _field: NDArray[np.float32] | None = field(default=None, repr=False)

    def place(self, vectors: NDArray[np.float32]) -> Array:
        """Where embeddings [N, D] belong on the plane [N, 2], mostly in 0..1.

        The same for equal embeddings; that of a landmark is where it is. Without landmarks all are
        in the middle.
        """
        if not len(self.vectors):
            return np.full((len(vectors), 2), 0.5)
        if (axes := self.plane.axes) is not None:
            return np.asarray(vectors @ axes[:-1] + axes[-1])
        parts = [
            self._placed(vectors[start : start + _BLOCK])
            for start in range(0, len(vectors), _BLOCK)
        ]
        return np.concatenate(parts) if parts else np.empty((0, 2))

    def _placed(self, vectors: NDArray[np.float32]) -> Array:
        marks, places = self.vectors, self.plane.places * self.plane.span
        squared = (marks**2).sum(axis=1) - 2 * (vectors @ marks.T)
        count = min(_NEAREST, len(marks))
        near = np.argpartition(squared, count - 1, axis=1)[:, :count]
        # Directly: the expanded square loses the digits that tell equal from near.
        off = vectors[:, None] - marks[near]
        squared = np.einsum("nkd,nkd->nk", off, off).astype(np.float64)
        weights = _weights(squared, min(_PERPLEXITY, count))
        around = places[near]
        there = np.einsum("nk,nkd->nd", weights, around) + self._spread(off, weights)
        there = self._settled(there, around, weights * _EXAGGERATION)
        itself = squared.argmin(axis=1)
        same = np.take_along_axis(squared, itself[:, None], axis=1)[:, 0] == 0
        there[same] = around[np.arange(len(vectors)), itself][same]
        return there / self.plane.span

    def _spread(self, off: NDArray[np.float32], weights: Array) -> Array:
        """A short way aside, in a direction that what is left of the embedding decides: pictures
        that are like the same landmarks part, and those that are alike stay together."""
        left = np.einsum("nk,nkd->nd", weights, off)
        chance = np.random.default_rng(0).normal(size=(off.shape[2], 2))
        aside = left @ chance
        length = np.linalg.norm(aside, axis=1, keepdims=True)
        return np.asarray(_SPREAD * aside / np.maximum(length, 1e-12))

    def _settled(self, there: Array, around: Array, pull: Array) -> Array:
        """Down the gradient of t-SNE's loss, from the starts [N, 2], pulled [N, K] to the nearest
        landmarks [N, K, 2]."""
        speed = np.zeros_like(there)
        for _ in range(_STEPS):
            off = there[:, None] - around
            kernel = 1 / (1 + (off**2).sum(axis=2))
            slope = np.einsum("nk,nkd->nd", pull * kernel, off) - self._repulsion(there)
            speed = _MOMENTUM * speed - _RATE * slope
            length = np.linalg.norm(speed, axis=1, keepdims=True)
            speed *= np.minimum(1, _LONGEST / np.maximum(length, 1e-12))
            there = there + speed
        return there

    def _repulsion(self, there: Array) -> Array:
        """What all landmarks do to places [N, 2] in t-SNE's unit, between the grid's points."""
        if self._field is None:
            self._field = self._made_field()
        at = (there / self.plane.span + _MARGIN) / (1 + 2 * _MARGIN) * (_CELLS - 1)
        at = np.clip(at, 0, _CELLS - 1.001)
        cell = at.astype(np.intp)
        (x, y), (right, down) = cell.T, (at - cell).T[..., None]
        grid = self._field
        above = grid[y, x] * (1 - right) + grid[y, x + 1] * right
        below = grid[y + 1, x] * (1 - right) + grid[y + 1, x + 1] * right
        return np.asarray(above * (1 - down) + below * down, np.float64)

    def _made_field(self) -> NDArray[np.float32]:
        """[CELLS, CELLS, 2]: the sum of squared kernels times the ways, over that of kernels."""
        unit = self.plane.span * (1 + 2 * _MARGIN) / (_CELLS - 1)
        at = (self.plane.places + _MARGIN) / (1 + 2 * _MARGIN) * (_CELLS - 1)
        cell = np.clip(at.astype(np.intp), 0, _CELLS - 2)
        (x, y), (right, down) = cell.T, (at - cell).T
        mass = np.zeros((2 * _CELLS, 2 * _CELLS))
        for along, share in ((0, 1 - right), (1, right)):
            np.add.at(mass, (y, x + along), share * (1 - down))
            np.add.at(mass, (y + 1, x + along), share * down)
        steps = np.fft.fftfreq(2 * _CELLS, 1 / (2 * _CELLS)) * unit
        across, along_y = steps[None, :], steps[:, None]
        kernel = 1 / (1 + across**2 + along_y**2)
        heard = np.fft.rfft2(mass)

        def sums(of: Array) -> Array:
            whole = np.fft.irfft2(heard * np.fft.rfft2(of), s=mass.shape)
            return np.asarray(whole[:_CELLS, :_CELLS])

        total = np.maximum(sums(kernel), 1e-12)
        ways = (sums(kernel**2 * across), sums(kernel**2 * along_y))
        return np.stack([way / total for way in ways], axis=2).astype(np.float32)


def _weights(squared: Array, perplexity: float) -> Array:
    """Similarities [N, K] of squared distances, which add up to 1: as wide as gives each row that
    ``perplexity``, found by halving."""
    squared = squared - squared.min(axis=1, keepdims=True)
    aim = np.log(perplexity) - 1e-9
    low, high = np.zeros(len(squared)), np.full(len(squared), np.inf)
    narrow = 1 / np.maximum(squared.mean(axis=1), 1e-12)
    for _ in range(40):
        likeness = np.exp(-squared * narrow[:, None])
        total = likeness.sum(axis=1)
        entropy = np.log(total) + narrow * (squared * likeness).sum(axis=1) / total
        wide = entropy > aim
        low, high = np.where(wide, narrow, low), np.where(wide, high, narrow)
        narrow = np.where(np.isinf(high), 2 * narrow, (low + high) / 2)
        narrow = np.minimum(narrow, 1e300)
    likeness = np.exp(-squared * narrow[:, None])
    return np.asarray(likeness / likeness.sum(axis=1, keepdims=True))
