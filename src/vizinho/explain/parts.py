"""The arithmetic: an embedding as a sum over regions of its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vizinho.errors import NotExplainable
from vizinho.explain.tail import Place, Tail, View
from vizinho.images import Crop

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """What each region of one picture gave to a match.

    ``values`` float64 [rows, columns], from the top left, on ``box``, the part of the picture that
    the network saw. Their sum and ``bias``, the part that every picture gives, are the match's
    ``similarity``; ``length`` is the embedding's.
    """

    values: Array
    bias: float
    length: float
    box: Crop


@dataclass(frozen=True)
class Explanation:
    """Two pictures compared: ``similarity`` is their embeddings' dot product, and
    distance^2 = query.length^2 + match.length^2 - 2 similarity."""

    distance: float
    similarity: float
    query: Regions
    match: Regions


@dataclass(frozen=True)
class Parts:
    """An embedding [D] in parts: ``regions`` [rows, columns, D] and ``constant`` [D] add up to
    ``vector``."""

    regions: Array
    constant: Array

    @property
    def vector(self) -> Array:
        """The embedding, float64 [D]."""
        found: Array = self.regions.sum(axis=(0, 1)) + self.constant
        return found


def split(tail: Tail, features: Mapping[str, NDArray[np.float32]], size: int) -> Parts:
    """One picture's embedding in parts.

    ``features`` are its feature maps [C, H, W] by name, ``size`` the side of the network's input in
    pixels. Raises NotExplainable for an embedding without length or a map of an odd shape.
    """
    total: Parts | None = None
    for view in tail.views:
        part = _of_view(view, np.asarray(features[view.features], np.float64), size)
        if total is None:
            total = part
        elif total.regions.shape != part.regions.shape:
            raise NotExplainable("The network's views of a picture have different shapes.")
        else:
            total = Parts(total.regions + part.regions, total.constant + part.constant)
    assert total is not None, "a tail has a view"
    return _scaled(total, 1.0, tail.unit)


def regions(parts: Parts, other: Array, box: Crop) -> Regions:
    """What each part gives to the dot product with the embedding ``other``."""
    length = float(np.linalg.norm(parts.vector))
    return Regions(parts.regions @ other, float(parts.constant @ other), length, box)


def _scaled(parts: Parts, factor: float, unit: bool) -> Parts:
    if unit:
        length = float(np.linalg.norm(parts.vector))
        if not length > 0:
            raise NotExplainable("The picture's embedding has no length.")
        factor /= length
    return Parts(parts.regions * factor, parts.constant * factor)


def _of_view(view: View, features: Array, size: int) -> Parts:
    if features.ndim != 3 or features.size == 0:
        raise NotExplainable("The network's feature map has no positions.")
    shares = _pooled(features, view.pooling)
    channels, height, width = shares.shape
    flat = shares.reshape(channels, -1).T
    per_position = flat if view.weight is None else flat @ view.weight.T
    constant = np.zeros(per_position.shape[1])
    if view.bias is not None:
        constant = constant + view.bias
    place = view.place or _tiled(height, width, size)
    down = spread(height, place.start[0], place.step[0], size)
    across = spread(width, place.start[1], place.step[1], size)
    if view.mirrored:
        across = across[::-1]
    grid = np.einsum("rh,hwd,cw->rcd", down, per_position.reshape(height, width, -1), across)
    return _scaled(Parts(grid, constant), view.factor, view.unit)


def _pooled(features: Array, pooling: str) -> Array:
    """What each position [C, H, W] gives to the pooled channels: they sum to these.

    Of a maximum that several positions share, each gives its part.
    """
    if pooling == "average":
        even: Array = features / (features.shape[1] * features.shape[2])
        return even
    most = features.max(axis=(1, 2), keepdims=True)
    holds = features == most
    found: Array = np.where(holds, most / holds.sum(axis=(1, 2), keepdims=True), 0.0)
    return found


def _tiled(height: int, width: int, size: int) -> Place:
    """Positions laid evenly over the picture, where the graph does not tell their places."""
    step = (size / height, size / width)
    return Place((step[0] / 2, step[1] / 2), step)


def spread(count: int, start: float, step: float, size: int) -> Array:
    """How much of each of ``count`` positions falls into each region along one side: [regions,
    count], each column sums to 1.

    A position stands for the pixels nearest to its middle, a region for ``step`` pixels of the
    ``size``, or a little fewer. What would lie outside the picture counts for the region at its
    border.
    """
    number = max(1, math.ceil(size / step - 1e-9))
    edges = np.linspace(0, size, number + 1)
    middles = start + step * np.arange(count)
    low, high = np.clip(middles - step / 2, 0, size), np.clip(middles + step / 2, 0, size)
    shared = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    shared = np.maximum(shared, 0.0)
    outside = high - low <= 1e-9
    nearest = np.clip((middles / size * number).astype(int), 0, number - 1)
    shared[nearest[outside], np.flatnonzero(outside)] = 1.0
    found: Array = shared / shared.sum(axis=0)
    return found
